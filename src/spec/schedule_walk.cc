#include "spec/schedule_walk.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "base/text.h"

namespace skarv {
namespace {

// What a rank has done, by kind and place.
struct Done {
  ActionKind kind;
  int pipeline, stage, microbatch;
  bool operator==(const Done&) const = default;
};
struct DoneHash {
  size_t operator()(const Done& done) const {
    uint64_t hash = static_cast<uint64_t>(done.kind);
    for (int part : {done.pipeline, done.stage, done.microbatch}) {
      hash = (hash ^ static_cast<uint32_t>(part)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

// A message in flight: is it an activation, and who receives what of which seat.
struct Message {
  ActionKind kind;  // of the receive
  int pipeline, stage, microbatch, from, to;
  auto operator<=>(const Message&) const = default;
};

class Walk {
 public:
  Walk(const Schedule& schedule, const StageMap& map, const Ownership& ownership)
      : schedule_(schedule),
        map_(map),
        ownership_(ownership),
        next_(map.num_ranks(), 0),
        done_(map.num_ranks()),
        open_backwards_(map.num_ranks(), 0),
        open_reduces_(map.num_ranks(), 0) {}

  Status run() {
    for (int rank = 0; rank < map_.num_ranks(); ++rank) {
      for (const Action& action : schedule_.actions[rank]) {
        open_backwards_[rank] += finishes_backward(action.kind);
        open_reduces_[rank] += action.kind == ActionKind::kReduce;
      }
    }
    for (int rank = map_.num_ranks(); rank-- > 0;) ready_.push_back(rank);
    while (!ready_.empty()) {
      const int rank = ready_.back();
      ready_.pop_back();
      SKARV_TRY(advance(rank));
    }
    for (int rank = 0; rank < map_.num_ranks(); ++rank) {
      if (!is_finished(rank)) return deadlock(rank);
    }
    return {};
  }

 private:
  static bool finishes_backward(ActionKind kind) {
    return kind == ActionKind::kBackward || kind == ActionKind::kBackwardWeight;
  }
  bool is_finished(int rank) const { return next_[rank] == schedule_.actions[rank].size(); }
  const Action& current(int rank) const { return schedule_.actions[rank][next_[rank]]; }

  // Runs `rank` until it waits or has finished.
  Status advance(int rank) {
    while (!is_finished(rank)) {
      const Action& action = current(rank);
      SKARV_TRY(check_needs(rank, action));
      if (is_collective(action.kind)) {
        if (!arrive(rank, action)) return {};
      } else if (is_receive(action.kind)) {
        const Message message{action.kind,       action.pipeline, action.stage,
                              action.microbatch, action.peer,     rank};
        const auto sent = sent_.find(message);
        if (sent == sent_.end()) {
          waiting_.emplace(message, rank);
          return {};
        }
        SKARV_TRY(check_bytes(rank, action, sent->second));
      } else if (is_send(action.kind)) {
        send(rank, action);
      }
      finish(rank, action);
    }
    return {};
  }

  static bool is_receive(ActionKind kind) {
    return kind == ActionKind::kReceiveActivation || kind == ActionKind::kReceiveGradient;
  }
  static bool is_send(ActionKind kind) {
    return kind == ActionKind::kSendActivation || kind == ActionKind::kSendGradient;
  }
  static bool is_collective(ActionKind kind) {
    return kind == ActionKind::kReduce || kind == ActionKind::kClip || kind == ActionKind::kGather;
  }

  void send(int rank, const Action& action) {
    const bool is_activation = action.kind == ActionKind::kSendActivation;
    const Message message{
        is_activation ? ActionKind::kReceiveActivation : ActionKind::kReceiveGradient,
        action.pipeline,
        action.stage + (is_activation ? 1 : -1),
        action.microbatch,
        rank,
        action.peer};
    sent_.emplace(message, action.bytes);
    if (const auto waiting = waiting_.find(message); waiting != waiting_.end()) {
      ready_.push_back(waiting->second);
      waiting_.erase(waiting);
    }
  }

  // True when the rank may go on; the last to arrive wakes the others.
  bool arrive(int rank, const Action& action) {
    std::set<int>& there = arrived_[{action.kind, action.group}];
    const size_t num_members = action.kind == ActionKind::kClip
                                   ? next_.size()
                                   : ownership_.groups[action.group].members.size();
    const bool is_new = there.insert(rank).second;
    if (there.size() < num_members) return false;
    if (is_new) {
      for (int other : there) {
        if (other != rank) ready_.push_back(other);
      }
    }
    return true;
  }

  void finish(int rank, const Action& action) {
    done_[rank].insert({action.kind, action.pipeline,
                        action.group >= 0 ? action.group : action.stage, action.microbatch});
    open_backwards_[rank] -= finishes_backward(action.kind);
    open_reduces_[rank] -= action.kind == ActionKind::kReduce;
    ++next_[rank];
  }

  bool has(int rank, ActionKind kind, const Action& at, int stage) const {
    return done_[rank].contains({kind, at.pipeline, stage, at.microbatch});
  }
  bool has_input_gradient(int rank, const Action& at, int stage) const {
    return has(rank, ActionKind::kBackward, at, stage) ||
           has(rank, ActionKind::kBackwardInput, at, stage);
  }

  Status too_early(int rank, const Action& action, const std::string& needed) const {
    return config_error(cat("\"", to_string(action), "\" comes before ", needed))
        .at(schedule_.devices[rank])
        .with_hint("swap the two in the schedule");
  }

  StageMap::Seat seat_of(int rank, const Action& action) const {
    for (const StageMap::Seat& seat : map_.seats_of(rank)) {
      if (seat.pipeline == action.pipeline && seat.stage == action.stage) return seat;
    }
    return {};
  }

  // Everything that the rank itself has to have done before.
  Status check_needs(int rank, const Action& action) const {
    switch (action.kind) {
      case ActionKind::kForward: {
        const int source = map_.activation_source(seat_of(rank, action));
        const bool exists =
            source < 0 ||
            (source == rank ? has(rank, ActionKind::kForward, action, action.stage - 1)
                            : has(rank, ActionKind::kReceiveActivation, action, action.stage));
        return exists ? Status() : too_early(rank, action, "its input exists");
      }
      case ActionKind::kSendActivation:
        return has(rank, ActionKind::kForward, action, action.stage)
                   ? Status()
                   : too_early(rank, action, "the forward that makes it");
      case ActionKind::kBackward:
      case ActionKind::kBackwardInput: {
        if (!has(rank, ActionKind::kForward, action, action.stage)) {
          return too_early(rank, action, "its forward");
        }
        const int source = map_.gradient_source(seat_of(rank, action));
        const bool exists =
            source < 0 ||
            (source == rank ? has_input_gradient(rank, action, action.stage + 1)
                            : has(rank, ActionKind::kReceiveGradient, action, action.stage));
        return exists ? Status() : too_early(rank, action, "the gradient of its output exists");
      }
      case ActionKind::kBackwardWeight:
        return has(rank, ActionKind::kBackwardInput, action, action.stage)
                   ? Status()
                   : too_early(rank, action, "its backward-input");
      case ActionKind::kSendGradient:
        return has_input_gradient(rank, action, action.stage)
                   ? Status()
                   : too_early(rank, action, "the backward that makes it");
      case ActionKind::kReduce:
        return open_backwards_[rank] == 0 ? Status() : too_early(rank, action, "the last backward");
      case ActionKind::kClip:
        return open_reduces_[rank] == 0 ? Status() : too_early(rank, action, "the last reduce");
      case ActionKind::kUpdate:
        return done_[rank].contains({ActionKind::kClip, -1, -1, -1})
                   ? Status()
                   : too_early(rank, action, "the clip");
      case ActionKind::kGather:
        return done_[rank].contains({ActionKind::kUpdate, -1, action.group, -1})
                   ? Status()
                   : too_early(rank, action, "its update");
      case ActionKind::kReceiveActivation:
      case ActionKind::kReceiveGradient:
        break;
    }
    return {};
  }

  Status check_bytes(int rank, const Action& action, int64_t sent) const {
    if (action.bytes == sent) return {};
    return config_error(cat("\"", to_string(action), "\" expects ", action.bytes, " bytes, ",
                            schedule_.devices[action.peer], " sends ", sent))
        .at(schedule_.devices[rank])
        .with_hint("both ends have to agree: make the schedule again");
  }

  // A rank that the stuck `rank` waits for.
  int awaited_by(int rank) const {
    const Action& action = current(rank);
    if (is_receive(action.kind)) return action.peer;
    const std::set<int>& there = arrived_.at({action.kind, action.group});
    for (int other = 0; other < map_.num_ranks(); ++other) {
      const bool is_member =
          action.kind == ActionKind::kClip ||
          std::ranges::binary_search(ownership_.groups[action.group].members, other);
      if (is_member && !there.contains(other)) return other;
    }
    return rank;
  }

  // Follows who waits for whom until a rank comes round again. A rank that has finished cannot be
  // awaited: it has done all that its seats ask for.
  Status deadlock(int rank) const {
    std::vector<bool> seen(map_.num_ranks(), false);
    while (!seen[rank]) {
      seen[rank] = true;
      rank = awaited_by(rank);
    }
    const int other = awaited_by(rank);
    return config_error(cat("deadlock: ", schedule_.devices[rank], " waits in \"",
                            to_string(current(rank)), "\" for ", schedule_.devices[other],
                            ", which waits in \"", to_string(current(other)), "\""))
        .at(schedule_.devices[rank])
        .with_hint("change the order of one of the two");
  }

  const Schedule& schedule_;
  const StageMap& map_;
  const Ownership& ownership_;
  std::vector<size_t> next_;
  std::vector<std::unordered_set<Done, DoneHash>> done_;
  std::vector<int> open_backwards_, open_reduces_;
  std::map<Message, int64_t> sent_;
  std::map<Message, int> waiting_;
  std::map<std::pair<ActionKind, int>, std::set<int>> arrived_;
  std::vector<int> ready_;
};

}  // namespace

Status walk_schedule(const Schedule& schedule, const StageMap& map, const Ownership& ownership) {
  return Walk(schedule, map, ownership).run();
}

}  // namespace skarv
