#include "plan/schedule/builder.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/text.h"
#include "plan/schedule/order.h"
#include "spec/stage_map.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

using enum ActionKind;

// Stages that share a device share a worker, also where their groups overlap only in part.
std::vector<int> workers_of_stages(const StageMap& map, int pipeline) {
  const int num_stages = map.num_stages(pipeline);
  std::vector<int> worker(num_stages);
  std::iota(worker.begin(), worker.end(), 0);
  std::map<int, int> stage_of_rank;
  for (int s = 0; s < num_stages; ++s) {
    for (int rank : map.ranks_of(pipeline, s)) {
      const auto [first, is_new] = stage_of_rank.emplace(rank, s);
      if (is_new) continue;
      const int from = worker[s], to = worker[first->second];
      std::replace(worker.begin(), worker.end(), from, to);
    }
  }
  std::map<int, int> dense;
  for (int& w : worker) w = dense.emplace(w, static_cast<int>(dense.size())).first->second;
  return worker;
}

class Builder {
 public:
  Builder(const Island& island, const Run& run, Schedule& schedule)
      : island_(island), run_(run), map_(island), schedule_(schedule) {}

  Status add_pipeline(int pipeline) {
    const Pipeline& parts = island_.pipelines[pipeline];
    const Result<OrderRule> rule = find_order_rule(parts.schedule);
    if (!rule.ok()) {
      return rule.status().at(cat("island ", island_.name, ", pipelines[", pipeline, "].schedule"));
    }
    const std::vector<int> worker_of_stage = workers_of_stages(map_, pipeline);
    const auto orders = order_pipeline(*rule, worker_of_stage, parts.num_microbatches());
    for (const std::vector<Work>& order : orders) {
      for (const Work& work : order) {
        const std::vector<int>& members = map_.ranks_of(pipeline, work.stage);
        for (size_t i = 0; i < members.size(); ++i) {
          add_work(members[i], {pipeline, work.stage, static_cast<int>(i)}, work);
        }
      }
    }
    return {};
  }

  void add_end(const Ownership& ownership, const SlabTable& table) {
    const auto add_all = [&](ActionKind kind, auto bytes_of) {
      for (size_t group = 0; group < ownership.groups.size(); ++group) {
        for (int rank : ownership.groups[group].members) {
          const int index = static_cast<int>(group);
          schedule_.actions[rank].push_back({kind, -1, -1, -1, index, -1, bytes_of(index, rank)});
        }
      }
    };
    add_all(kReduce,
            [&](int group, int rank) { return reduce_bytes(ownership, table, group, rank); });
    for (std::vector<Action>& list : schedule_.actions) list.push_back({kClip});
    add_all(kUpdate, [](int, int) { return int64_t{0}; });
    add_all(kGather, [&](int group, int rank) {
      return gather_bytes(ownership, table, group, rank, run_.precision);
    });
  }

 private:
  // The computing action with the messages that it needs before and gives rise to after.
  void add_work(int rank, const StageMap::Seat& seat, const Work& work) {
    std::vector<Action>& list = schedule_.actions[rank];
    const int samples = island_.pipelines[seat.pipeline].microbatch_size(work.microbatch);
    const int64_t bytes = border_bytes(run_.model, run_.precision, samples);
    const auto add = [&](ActionKind kind, int peer, int64_t moved) {
      list.push_back({kind, seat.pipeline, seat.stage, work.microbatch, -1, peer, moved});
    };
    const bool is_forward = work.kind == kForward;
    if (work.kind == kBackwardWeight) {
      add(kBackwardWeight, -1, 0);
      return;
    }
    const int source = is_forward ? map_.activation_source(seat) : map_.gradient_source(seat);
    if (source >= 0 && source != rank) {
      add(is_forward ? kReceiveActivation : kReceiveGradient, source, bytes);
    }
    add(work.kind, -1, 0);
    for (int target : is_forward ? map_.activation_targets(seat) : map_.gradient_targets(seat)) {
      add(is_forward ? kSendActivation : kSendGradient, target, bytes);
    }
  }

  const Island& island_;
  const Run& run_;
  const StageMap map_;
  Schedule& schedule_;
};

}  // namespace

Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Run& run) {
  Schedule schedule{island.devices(), {}};
  schedule.actions.resize(schedule.devices.size());
  Builder builder(island, run, schedule);
  for (size_t i = 0; i < island.pipelines.size(); ++i) {
    SKARV_TRY(builder.add_pipeline(static_cast<int>(i)));
  }
  builder.add_end(ownership, table);
  return schedule;
}

}  // namespace skarv
