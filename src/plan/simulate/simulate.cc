#include "plan/simulate/simulate.h"

#include <algorithm>
#include <tuple>

namespace skarv {
namespace {

using enum ActionKind;

class Simulation {
 public:
  Simulation(const Schedule& schedule, const Ownership& ownership, const IslandCost& cost)
      : schedule_(schedule), ownership_(ownership), cost_(cost), clock_(num_ranks(), 0) {
    trace_.spans.resize(num_ranks());
    trace_.busy_ns.assign(num_ranks(), 0);
    for (size_t rank = 0; rank < num_ranks(); ++rank) {
      trace_.spans[rank].reserve(schedule.actions[rank].size());
    }
  }

  // Times follow from the lists alone, so the ranks may be advanced in any order.
  StepTrace run() {
    for (size_t rank = num_ranks(); rank-- > 0;) ready_.push_back(static_cast<int>(rank));
    while (!ready_.empty()) {
      const int rank = ready_.back();
      ready_.pop_back();
      while (trace_.spans[rank].size() < schedule_.actions[rank].size() && advance(rank)) {
      }
    }
    for (size_t rank = 0; rank < num_ranks(); ++rank) {
      trace_.step_ns = std::max(trace_.step_ns, clock_[rank]);
      for (size_t i = 0; i < trace_.spans[rank].size(); ++i) {
        trace_.order.push_back({static_cast<int>(rank), static_cast<int>(i)});
      }
    }
    std::ranges::sort(trace_.order, [&](const Completed& a, const Completed& b) {
      const int64_t end_a = trace_.spans[a.rank][a.index].end;
      const int64_t end_b = trace_.spans[b.rank][b.index].end;
      return std::tie(end_a, a.rank, a.index) < std::tie(end_b, b.rank, b.index);
    });
    return std::move(trace_);
  }

 private:
  // Kind of the receive, pipeline, stage of the receiver, microbatch, from, to.
  using Message = std::tuple<ActionKind, int, int, int, int, int>;
  struct Meeting {
    int num_arrived = 0;
    int64_t latest = 0;
    std::vector<int> waiting;
  };

  size_t num_ranks() const { return schedule_.devices.size(); }

  // False when the rank has to wait for another.
  bool advance(int rank) {
    const Action& action = schedule_.actions[rank][trace_.spans[rank].size()];
    switch (action.kind) {
      case kForward:
      case kBackward:
      case kBackwardInput:
      case kBackwardWeight:
      case kUpdate: {
        const int64_t duration = cost_.compute_ns(rank, action);
        trace_.busy_ns[rank] += duration;
        return finish(rank, clock_[rank] + duration);
      }
      case kSendActivation:
      case kSendGradient:
        send(rank, action);
        return finish(rank, clock_[rank]);
      case kReceiveActivation:
      case kReceiveGradient: {
        const Message message{action.kind,       action.pipeline, action.stage,
                              action.microbatch, action.peer,     rank};
        const auto arrival = arrival_.find(message);
        if (arrival == arrival_.end()) {
          awaited_.emplace(message, rank);
          return false;
        }
        return finish(rank, std::max(clock_[rank], arrival->second));
      }
      case kReduce:
        return meet(rank, action, cost_.reduce_ns(action.group), members_of(action));
      case kGather:
        return meet(rank, action, cost_.gather_ns(action.group), members_of(action));
      case kClip:
        return meet(rank, action, cost_.clip_ns(), static_cast<int>(num_ranks()));
    }
    return false;
  }

  int members_of(const Action& action) const {
    return static_cast<int>(ownership_.groups[action.group].members.size());
  }

  bool finish(int rank, int64_t end) {
    trace_.spans[rank].push_back({clock_[rank], end});
    clock_[rank] = end;
    return true;
  }

  void send(int rank, const Action& action) {
    const bool is_activation = action.kind == kSendActivation;
    const Message message{is_activation ? kReceiveActivation : kReceiveGradient,
                          action.pipeline,
                          action.stage + (is_activation ? 1 : -1),
                          action.microbatch,
                          rank,
                          action.peer};
    const LinkCost& link = cost_.link(rank, action.peer);
    int64_t& lane_free = lane_free_[{rank, action.peer}];
    lane_free = std::max(lane_free, clock_[rank]) + link.transfer_ns(action.bytes);
    arrival_.emplace(message, lane_free + link.latency_ns);
    trace_.link_bytes[{rank, action.peer}] += action.bytes;
    if (const auto awaited = awaited_.find(message); awaited != awaited_.end()) {
      ready_.push_back(awaited->second);
    }
  }

  bool meet(int rank, const Action& action, int64_t duration, int num_members) {
    Meeting& meeting = meetings_[{action.kind, action.group}];
    meeting.latest = std::max(meeting.latest, clock_[rank]);
    if (++meeting.num_arrived < num_members) {
      meeting.waiting.push_back(rank);
      return false;
    }
    for (int other : meeting.waiting) {
      finish(other, meeting.latest + duration);
      ready_.push_back(other);
    }
    return finish(rank, meeting.latest + duration);
  }

  const Schedule& schedule_;
  const Ownership& ownership_;
  const IslandCost& cost_;
  std::vector<int64_t> clock_;
  std::vector<int> ready_;
  std::map<Message, int64_t> arrival_;
  std::map<Message, int> awaited_;
  std::map<std::pair<int, int>, int64_t> lane_free_;
  std::map<std::pair<ActionKind, int>, Meeting> meetings_;
  StepTrace trace_;
};

}  // namespace

Result<StepTrace> simulate(const Schedule& schedule, const Island& island,
                           const Ownership& ownership, const IslandCost& cost) {
  SKARV_TRY(check_schedule(schedule, island, ownership));
  return Simulation(schedule, ownership, cost).run();
}

}  // namespace skarv
