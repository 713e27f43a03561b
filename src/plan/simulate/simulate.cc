#include "plan/simulate/simulate.h"

#include <algorithm>
#include <deque>
#include <queue>
#include <tuple>

#include "base/text.h"

namespace skarv {
namespace {

struct Event {
  int64_t time;
  int32_t kind, index;  // kind 0: a flow ends, 1: a rank goes on
  uint32_t version;     // of the flow
  bool operator>(const Event& other) const {
    return std::tie(time, kind, index) > std::tie(other.time, other.kind, other.index);
  }
};

class Simulation {
 public:
  Simulation(const Program& program, const std::vector<Wire>& wires, const StepSettings& settings)
      : program_(program),
        settings_(settings),
        ranks_(program.ops.size()),
        messages_(program.edge_of_message.size()),
        meetings_(program.meetings.size()),
        edge_bytes_(program.edges.size(), 0) {
    for (const Wire& wire : wires) {
      pool_.add_resource(wire.capacity);
      trace_.wires.push_back({wire, 0});
    }
    trace_.use.resize(ranks_.size());
    waited_.resize(ranks_.size());
    if (settings.give_up_ns > 0) sum_up();
    if (!settings.keep_spans) return;
    trace_.spans.resize(ranks_.size());
    trace_.transfers.resize(ranks_.size());
    for (size_t i = 0; i < ranks_.size(); ++i) trace_.spans[i].reserve(program.ops[i].size());
  }

  Result<StepTrace> run() {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      trace_.use[i].start_up_ns = ranks_[i].begin = settings_.start_up.step_ns;
      events_.push({settings_.start_up.step_ns, 1, static_cast<int>(i), 0});
    }
    while (!events_.empty() && !is_late_) {
      now_ = events_.top().time;
      while (!events_.empty() && events_.top().time == now_) {
        const Event event = events_.top();
        events_.pop();
        if (event.kind == 1) {
          advance(event.index);
        } else if (event.version == pool_.version(event.index)) {
          end_flow(event.index);
        }
      }
      settle();
    }
    if (is_late_) return late();
    for (size_t i = 0; i < ranks_.size(); ++i) {
      if (ranks_[i].next < program_.ops[i].size()) {
        return Status(Code::kFailedPrecondition, Scope::kConfig,
                      cat("rank ", i, " waits for ever in its action ", ranks_[i].next));
      }
    }
    finish();
    if (settings_.give_up_ns > 0 && trace_.step_ns >= settings_.give_up_ns) return late();
    return std::move(trace_);
  }

 private:
  struct Rank {
    size_t next = 0;
    int64_t begin = 0;                         // of the action in progress
    bool computing = false;                    // the action in progress ends at its event
    std::deque<std::pair<int, int64_t>> lane;  // messages and bytes; the first is on its way
  };
  struct Message {
    int64_t sent = -1, arrival = -1;  // handed over; there
    int32_t waiting = -1;             // rank
  };
  struct Meeting {
    int num_arrived = 0;
    int latest_rank = 0;
    int64_t latest = 0;
    std::vector<std::pair<int, int64_t>> waiting;  // rank, since
  };

  Status late() const {
    return {Code::kDeadlineExceeded, Scope::kConfig,
            cat("the step takes ", settings_.give_up_ns, " ns or longer")};
  }

  int clip() const { return static_cast<int>(meetings_.size()) - 1; }

  // What every rank still has to do itself before the clip, and what all do after it at the least.
  void sum_up() {
    for (const std::vector<Op>& ops : program_.ops) {
      int64_t before = 0, after = 0;
      bool is_after = false;
      for (const Op& op : ops) {
        const bool is_meeting = op.kind == Op::Kind::kMeet;
        is_after = is_after || (is_meeting && op.target == clip());
        int64_t& sum = is_after ? after : before;
        if (is_meeting) sum += program_.meetings[op.target].duration_ns;
        if (op.kind == Op::Kind::kCompute) sum += op.value;
      }
      left_.push_back(before);
      after_clip_ = std::max(after_clip_, after);
    }
  }

  // The rank begins this much of its own work.
  void begin_work(int index, int64_t time) {
    if (left_.empty()) return;
    is_late_ = is_late_ || now_ + left_[index] + after_clip_ >= settings_.give_up_ns;
    left_[index] = std::max<int64_t>(0, left_[index] - time);
  }

  void settle() {
    moved_.clear();
    pool_.settle(now_, moved_);
    for (int flow : moved_) events_.push({pool_.end(flow), 0, flow, pool_.version(flow)});
  }

  void done(int rank) {
    if (settings_.keep_spans) trace_.spans[rank].push_back({ranks_[rank].begin, now_});
    ++ranks_[rank].next;
    ranks_[rank].begin = now_;
  }

  // Goes on from where the rank stands until something takes time.
  void advance(int index) {
    Rank& rank = ranks_[index];
    const std::vector<Op>& ops = program_.ops[index];
    if (rank.computing) {
      rank.computing = false;
      done(index);
    }
    while (rank.next < ops.size()) {
      const Op& op = ops[rank.next];
      switch (op.kind) {
        case Op::Kind::kCompute:
          trace_.use[index].compute_ns += op.value;
          begin_work(index, op.value);
          if (op.value > 0) {
            rank.computing = true;
            events_.push({now_ + op.value, 1, index, 0});
            return;
          }
          break;
        case Op::Kind::kSend:
          messages_[op.target].sent = now_;
          rank.lane.emplace_back(op.target, op.value);
          if (rank.lane.size() == 1) start_flow(index);
          break;
        case Op::Kind::kReceive:
          if (!receive(index, op.target)) return;
          break;
        case Op::Kind::kMeet:
          meet(index, op.target);
          return;
      }
      done(index);
    }
  }

  bool receive(int index, int target) {
    Message& message = messages_[target];
    Rank& rank = ranks_[index];
    if (message.arrival < 0) {
      message.waiting = index;
      return false;
    }
    if (message.arrival > now_) {
      events_.push({message.arrival, 1, index, 0});
      return false;
    }
    const int64_t wait = now_ - rank.begin;
    if (wait > 0) {
      const int64_t bubble = std::clamp<int64_t>(message.sent - rank.begin, 0, wait);
      trace_.use[index].bubble_ns += bubble;
      trace_.use[index].exposed_ns += wait - bubble;
      await(index, program_.edges[program_.edge_of_message[target]].from, bubble);
    }
    return true;
  }

  void meet(int index, int target) {
    Meeting& meeting = meetings_[target];
    const MeetingPlan& plan = program_.meetings[target];
    meeting.waiting.emplace_back(index, now_);
    meeting.latest = now_;
    if (++meeting.num_arrived < plan.num_members) return;
    for (const auto& [rank, since] : meeting.waiting) {
      trace_.use[rank].bubble_ns += now_ - since;
      trace_.use[rank].collective_ns += plan.duration_ns;
      begin_work(rank, plan.duration_ns);
      await(rank, index, now_ - since);
      ranks_[rank].computing = true;
      events_.push({now_ + plan.duration_ns, 1, rank, 0});
    }
    if (target == clip()) after_clip_ = 0;
  }

  void await(int index, int other, int64_t time) {
    if (time <= 0 || index == other) return;
    for (auto& [rank, sum] : waited_[index]) {
      if (rank != other) continue;
      sum += time;
      return;
    }
    waited_[index].emplace_back(other, time);
  }

  void start_flow(int index) {
    const auto& [message, bytes] = ranks_[index].lane.front();
    const int edge = program_.edge_of_message[message];
    const Route& route = *program_.edges[edge].route;
    const int flow = pool_.start(now_, bytes, route.link.transfer_ns(bytes), route.wires);
    if (static_cast<size_t>(flow) >= flow_rank_.size()) flow_rank_.resize(flow + 1);
    flow_rank_[flow] = index;
    if (settings_.keep_spans) trace_.transfers[index].push_back({now_, now_});
    edge_bytes_[edge] += bytes;
  }

  void end_flow(int flow) {
    const int index = flow_rank_[flow];
    pool_.finish(now_, flow);
    Rank& rank = ranks_[index];
    const auto [target, bytes] = rank.lane.front();
    rank.lane.pop_front();
    const Route& route = *program_.edges[program_.edge_of_message[target]].route;
    Message& message = messages_[target];
    message.arrival =
        now_ + route.link.latency_ns + route.copy_ns(bytes) + settings_.start_up.message_ns;
    if (settings_.keep_spans) trace_.transfers[index].back().end = message.arrival;
    if (message.waiting >= 0) events_.push({message.arrival, 1, message.waiting, 0});
    if (!rank.lane.empty()) start_flow(index);
  }

  void finish() {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      trace_.step_ns = std::max(trace_.step_ns, ranks_[i].begin);
      trace_.num_actions += static_cast<int64_t>(program_.ops[i].size());
      trace_.busy_ns.push_back(trace_.use[i].compute_ns);
    }
    for (size_t i = 0; i < ranks_.size(); ++i) {
      RankUse& use = trace_.use[i];
      use.done_ns = trace_.step_ns - ranks_[i].begin;
      for (const auto& [rank, time] : waited_[i]) {
        if (time > use.awaited_ns || (time == use.awaited_ns && rank < use.awaited)) {
          use.awaited = rank;
          use.awaited_ns = time;
        }
      }
    }
    for (size_t i = 0; i < program_.edges.size(); ++i) {
      const Edge& edge = program_.edges[i];
      trace_.link_bytes[{edge.from, edge.to}] += edge_bytes_[i];
      for (const WireUse& use : edge.route->wires) {
        trace_.wires[use.resource].bytes += edge_bytes_[i] * use.weight;
      }
    }
  }

  const Program& program_;
  const StepSettings& settings_;
  int64_t now_ = 0;
  bool is_late_ = false;
  std::vector<int64_t> left_;  // by rank, before the clip; empty: nobody gives up
  int64_t after_clip_ = 0;
  std::vector<Rank> ranks_;
  std::vector<Message> messages_;
  std::vector<Meeting> meetings_;
  std::vector<int64_t> edge_bytes_;
  std::vector<int> flow_rank_, moved_;
  std::vector<std::vector<std::pair<int, int64_t>>> waited_;  // by rank: for whom, how long
  FlowPool pool_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  StepTrace trace_;
};

}  // namespace

double WireFigures::utilisation(int64_t step_ns) const {
  return step_ns == 0 ? 0
                      : static_cast<double>(bytes) * 1e9 /
                            (static_cast<double>(wire.capacity) * static_cast<double>(step_ns));
}

std::vector<Completed> completion_order(const StepTrace& trace) {
  std::vector<Completed> order;
  for (size_t rank = 0; rank < trace.spans.size(); ++rank) {
    for (size_t i = 0; i < trace.spans[rank].size(); ++i) {
      order.push_back({static_cast<int>(rank), static_cast<int>(i)});
    }
  }
  std::ranges::sort(order, [&](const Completed& a, const Completed& b) {
    const int64_t end_a = trace.spans[a.rank][a.index].end;
    const int64_t end_b = trace.spans[b.rank][b.index].end;
    return std::tie(end_a, a.rank, a.index) < std::tie(end_b, b.rank, b.index);
  });
  return order;
}

Result<StepTrace> play(const Program& program, const std::vector<Wire>& wires,
                       const StepSettings& settings) {
  return Simulation(program, wires, settings).run();
}

Result<StepTrace> simulate(const Schedule& schedule, const Island& island,
                           const Ownership& ownership, const IslandCost& cost,
                           const Cluster& cluster, const DeviceIndex& devices, const Profile& links,
                           const StepSettings& settings) {
  SKARV_TRY(check_settings(settings));
  SKARV_TRY(check_schedule(schedule, island, ownership));
  const HostIndex hosts = index_hosts(cluster);
  Routes routes(cost.fold(), schedule.devices, cluster, devices, hosts, links);
  SKARV_ASSIGN(const Program program, compile(schedule, cost, routes, settings));
  return play(program, routes.wires(), settings);
}

}  // namespace skarv
