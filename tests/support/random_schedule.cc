#include "support/random_schedule.h"

#include <algorithm>
#include <random>

#include "spec/stage_map.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

using enum ActionKind;

// Actions as a graph: each is drawn once all that it needs has been drawn.
class RandomWalk {
 public:
  RandomWalk(const Island& island, const Model& model, Precision precision, uint64_t seed)
      : island_(island), model_(model), precision_(precision), map_(island), random_(seed) {}

  Schedule run(const Ownership& ownership, const SlabTable& table) {
    for (int rank = 0; rank < map_.num_ranks(); ++rank) {
      for (const StageMap::Seat& seat : map_.seats_of(rank)) add_seat(rank, seat);
    }
    join_borders();
    Schedule schedule{island_.devices(), {}};
    schedule.actions.resize(map_.num_ranks());
    draw(schedule);
    add_end(ownership, table, schedule);
    return schedule;
  }

 private:
  struct Node {
    int rank;
    Action action;
    int num_needed = 0;
    std::vector<int> followers;
  };
  struct SeatNodes {
    StageMap::Seat seat;
    int rank, microbatch, forward, input_gradient;
  };

  int add(int rank, Action action) {
    nodes_.push_back({rank, action, 0, {}});
    return static_cast<int>(nodes_.size()) - 1;
  }
  void needs(int later, int earlier) {
    nodes_[earlier].followers.push_back(later);
    ++nodes_[later].num_needed;
  }
  uint64_t below(uint64_t bound) { return random_() % bound; }

  int64_t bytes_at(const StageMap::Seat& seat, int microbatch) const {
    return border_bytes(model_, precision_,
                        island_.pipelines[seat.pipeline].microbatch_size(microbatch));
  }

  void add_seat(int rank, const StageMap::Seat& seat) {
    const int count = island_.pipelines[seat.pipeline].num_microbatches();
    for (int i = 0; i < count; ++i) {
      const auto at = [&](ActionKind kind) {
        return Action{kind, seat.pipeline, seat.stage, i, -1, -1, 0};
      };
      const int forward = add(rank, at(kForward));
      int input_gradient;
      if (below(2) == 0) {
        input_gradient = add(rank, at(kBackward));
      } else {
        input_gradient = add(rank, at(kBackwardInput));
        needs(add(rank, at(kBackwardWeight)), input_gradient);
      }
      needs(input_gradient, forward);
      seats_.push_back({seat, rank, i, forward, input_gradient});
    }
  }

  const SeatNodes& nodes_at(int rank, int pipeline, int stage, int microbatch) const {
    return *std::ranges::find_if(seats_, [&](const SeatNodes& s) {
      return s.rank == rank && s.seat.pipeline == pipeline && s.seat.stage == stage &&
             s.microbatch == microbatch;
    });
  }

  // `user` of one seat needs what `maker` of another has made: by a message unless both are one.
  void join(const SeatNodes& to, int user, int maker, int source, ActionKind send,
            ActionKind receive, int from_stage) {
    if (source == to.rank) {
      needs(user, maker);
      return;
    }
    const int64_t bytes = bytes_at(to.seat, to.microbatch);
    const int sent =
        add(source, {send, to.seat.pipeline, from_stage, to.microbatch, -1, to.rank, bytes});
    const int received =
        add(to.rank, {receive, to.seat.pipeline, to.seat.stage, to.microbatch, -1, source, bytes});
    needs(sent, maker);
    needs(received, sent);
    needs(user, received);
  }

  void join_borders() {
    for (const SeatNodes& to : seats_) {
      const auto [pipeline, stage, member] = to.seat;
      if (const int source = map_.activation_source(to.seat); source >= 0) {
        const int maker = nodes_at(source, pipeline, stage - 1, to.microbatch).forward;
        join(to, to.forward, maker, source, kSendActivation, kReceiveActivation, stage - 1);
      }
      if (const int source = map_.gradient_source(to.seat); source >= 0) {
        const int maker = nodes_at(source, pipeline, stage + 1, to.microbatch).input_gradient;
        join(to, to.input_gradient, maker, source, kSendGradient, kReceiveGradient, stage + 1);
      }
    }
  }

  void draw(Schedule& schedule) {
    std::vector<int> open;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].num_needed == 0) open.push_back(static_cast<int>(i));
    }
    while (!open.empty()) {
      const size_t chosen = below(open.size());
      const int node = open[chosen];
      open[chosen] = open.back();
      open.pop_back();
      schedule.actions[nodes_[node].rank].push_back(nodes_[node].action);
      for (int follower : nodes_[node].followers) {
        if (--nodes_[follower].num_needed == 0) open.push_back(follower);
      }
    }
  }

  void add_end(const Ownership& ownership, const SlabTable& table, Schedule& schedule) {
    std::vector<int> order(ownership.groups.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    const auto add_all = [&](ActionKind kind) {
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
      for (int group : order) {
        for (int rank : ownership.groups[group].members) {
          int64_t bytes = 0;
          if (kind == kReduce) bytes = reduce_bytes(ownership, table, group, rank);
          if (kind == kGather) bytes = gather_bytes(ownership, table, group, rank, precision_);
          schedule.actions[rank].push_back({kind, -1, -1, -1, group, -1, bytes});
        }
      }
    };
    add_all(kReduce);
    for (std::vector<Action>& list : schedule.actions) list.push_back({kClip});
    add_all(kUpdate);
    add_all(kGather);
  }

  const Island& island_;
  const Model& model_;
  const Precision precision_;
  const StageMap map_;
  std::mt19937_64 random_;
  std::vector<Node> nodes_;
  std::vector<SeatNodes> seats_;
};

}  // namespace

Schedule random_schedule(const Island& island, const Ownership& ownership, const SlabTable& table,
                         const Model& model, Precision precision, uint64_t seed) {
  return RandomWalk(island, model, precision, seed).run(ownership, table);
}

}  // namespace skarv
