#include "plan/cost/island_cost.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/text.h"
#include "spec/stage_map.h"

namespace skarv {
namespace {

constexpr double kLongest = 1e15;  // ns: eleven days; a pace of next to nothing is no faster

int64_t paced(int64_t nominal, double pace) {
  return pace == 1 ? nominal
                   : std::llround(std::min(kLongest, static_cast<double>(nominal) / pace));
}

}  // namespace

Status check_devices(const Island& island, const DeviceIndex& devices) {
  for (const std::string& name : island.devices()) {
    if (devices.contains(name)) continue;
    return Status(Code::kNotFound, Scope::kConfig, cat("the cluster has no device ", name))
        .with_hint("check the plan: check_plan names the place");
  }
  return {};
}

Result<IslandCost> IslandCost::create(const GroupQuery& query, const Workload& workload,
                                      const Fold& fold) {
  IslandCost cost;
  cost.fold_ = fold;
  const std::vector<std::string> names = query.island.devices();
  for (int rank : fold.full_rank) {
    const DeviceInfo& device = query.devices.at(names[rank]);
    cost.pace_.push_back(device.pace > 0 ? device.pace : 1);
  }
  SKARV_TRY(cost.add_seats(query, workload));
  SKARV_TRY(cost.add_updates(query, workload));
  SKARV_ASSIGN(cost.groups_, group_times(query));
  SKARV_ASSIGN(cost.clip_ns_, clip_time(query, fold.full_rank));
  for (const GroupLoad& group : query.loads) {
    std::set<int> folded;
    for (int rank : group.members) folded.insert(fold.folded_rank[rank]);
    cost.num_members_.push_back(static_cast<int>(folded.size()));
  }
  return cost;
}

Result<IslandCost> IslandCost::create(const Island& island, const Ownership& ownership,
                                      const SlabTable& table, const Run& run,
                                      const Cluster& cluster, const DeviceIndex& devices,
                                      const Profile& profile) {
  SKARV_TRY(check_devices(island, devices));
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  const HostIndex hosts = index_hosts(cluster);
  FoldRules rules;
  rules.whole = true;
  const std::vector<GroupLoad> loads = loads_of(ownership, table);
  return create({island, loads, run.precision, cluster, devices, hosts, profile}, workload,
                fold_island(island, devices, hosts, rules));
}

Status IslandCost::add_seats(const GroupQuery& query, const Workload& workload) {
  const StageMap map(fold_.island);
  const std::vector<std::string> names = fold_.island.devices();
  seats_.resize(num_ranks());
  for (int rank = 0; rank < num_ranks(); ++rank) {
    const std::string& chip = query.devices.at(names[rank]).chip.name;
    for (const StageMap::Seat& seat : map.seats_of(rank)) {
      const Pipeline& pipeline = fold_.island.pipelines[seat.pipeline];
      const Stage& stage = pipeline.stages[seat.stage];
      const int last = pipeline.num_microbatches() - 1;
      const auto times_of = [&](int samples) -> Result<Times> {
        Times times;
        LayerCost cost;
        for (int layer = stage.first; layer < stage.last; ++layer) {
          if (layer == stage.first || workload.kind(layer) != workload.kind(layer - 1)) {
            SKARV_ASSIGN(cost, workload.cost(chip, layer, samples, stage.tensor_parallel));
          }
          times.forward += cost.forward_ns;
          times.input += cost.backward_input_ns;
          times.weight += cost.backward_weight_ns;
        }
        if (stage.recompute == Recompute::kFull) times.input += times.forward;
        return times;
      };
      SeatTimes& times =
          seats_[rank].emplace_back(SeatTimes{seat.pipeline, seat.stage, last, {}, {}});
      SKARV_ASSIGN(times.whole, times_of(pipeline.microbatch_size(0)));
      times.last = times.whole;
      if (pipeline.microbatch_size(last) != pipeline.microbatch_size(0)) {
        SKARV_ASSIGN(times.last, times_of(pipeline.microbatch_size(last)));
      }
    }
  }
  return {};
}

// The longest of those that a rank stands for.
Status IslandCost::add_updates(const GroupQuery& query, const Workload& workload) {
  const std::vector<std::string> names = query.island.devices();
  std::vector<int> degree(names.size(), 1);
  std::vector<int> chip(names.size());
  std::map<std::string_view, int> chips;
  std::unordered_map<std::string_view, int> rank_of;
  for (size_t i = 0; i < names.size(); ++i) {
    rank_of[names[i]] = static_cast<int>(i);
    const std::string& name = query.devices.at(names[i]).chip.name;
    chip[i] = chips.emplace(name, static_cast<int>(chips.size())).first->second;
  }
  for (const Pipeline& pipeline : query.island.pipelines) {
    for (const Stage& stage : pipeline.stages) {
      for (const std::string& device : stage.devices) {
        degree[rank_of.at(device)] = stage.tensor_parallel;
      }
    }
  }
  // Nanoseconds of an element.
  std::map<std::tuple<int, int, int>, double> known;  // chip, layer, degree
  update_.resize(num_ranks());
  for (size_t group = 0; group < query.loads.size(); ++group) {
    // Parts stand by rank.
    const std::vector<OwnedPart>& parts = query.loads[group].owned;
    double nanoseconds = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const OwnedPart& part = parts[i];
      const auto [entry, is_new] =
          known.emplace(std::tuple(chip[part.rank], part.layer, degree[part.rank]), 0);
      if (is_new) {
        SKARV_ASSIGN(const LayerCost cost,
                     workload.cost(query.devices.at(names[part.rank]).chip.name, part.layer, 1,
                                   degree[part.rank]));
        entry->second = static_cast<double>(cost.update_ns) * degree[part.rank] /
                        static_cast<double>(workload.size(part.layer).parameters);
      }
      nanoseconds += entry->second * static_cast<double>(part.elements);
      if (i + 1 < parts.size() && parts[i + 1].rank == part.rank) continue;
      int64_t& longest = update_[fold_.folded_rank[part.rank]][static_cast<int>(group)];
      longest = std::max<int64_t>(longest, std::llround(nanoseconds));
      nanoseconds = 0;
    }
  }
  return {};
}

int64_t IslandCost::compute_ns(int rank, const Action& action) const {
  if (action.kind == ActionKind::kUpdate) {
    const auto found = update_[rank].find(action.group);
    return found == update_[rank].end() ? 0 : paced(found->second, pace_[rank]);
  }
  for (const SeatTimes& seat : seats_[rank]) {
    if (seat.pipeline != action.pipeline || seat.stage != action.stage) continue;
    const Times& times = action.microbatch == seat.last_microbatch ? seat.last : seat.whole;
    switch (action.kind) {
      case ActionKind::kForward:
        return paced(times.forward, pace_[rank]);
      case ActionKind::kBackward:
        return paced(times.input + times.weight, pace_[rank]);
      case ActionKind::kBackwardInput:
        return paced(times.input, pace_[rank]);
      case ActionKind::kBackwardWeight:
        return paced(times.weight, pace_[rank]);
      default:
        return 0;
    }
  }
  return 0;
}

}  // namespace skarv
