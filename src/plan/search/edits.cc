#include "plan/search/edits.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace skarv {

bool move_borders(const std::vector<std::pair<size_t, int>>& borders, Pipeline& pipeline) {
  for (const auto& [stage, by] : borders) {
    pipeline.stages[stage].last += by;
    pipeline.stages[stage + 1].first += by;
  }
  return std::ranges::all_of(pipeline.stages,
                             [](const Stage& stage) { return stage.first < stage.last; });
}

bool move_layer(size_t from, size_t to, Pipeline& pipeline) {
  std::vector<std::pair<size_t, int>> borders;
  for (size_t s = std::min(from, to); s < std::max(from, to); ++s) {
    borders.emplace_back(s, from > to ? 1 : -1);
  }
  return move_borders(borders, pipeline);
}

bool move_samples(int64_t moved, Pipeline& giver, Pipeline& taker) {
  if (giver.samples <= moved) return false;
  giver.samples -= moved;
  taker.samples += moved;
  giver.microbatch = static_cast<int>(std::min<int64_t>(giver.microbatch, giver.samples));
  return true;
}

void toggle_recompute(Stage& stage) {
  stage.recompute = stage.recompute == Recompute::kFull ? Recompute::kNone : Recompute::kFull;
}

bool can_exchange(const DeviceIndex& devices, const Stage& one, const Stage& other) {
  if (one.devices.size() != other.devices.size() || one.devices == other.devices) return false;
  const DeviceInfo &a = devices.at(one.devices.front()), &b = devices.at(other.devices.front());
  return a.chip.name != b.chip.name || a.pace != b.pace || a.memory_bytes != b.memory_bytes ||
         a.host != b.host || a.site != b.site;
}

bool exchange_devices(const DeviceIndex& devices, Pipeline& one, size_t s, Pipeline& other,
                      size_t t) {
  if (!can_exchange(devices, one.stages[s], other.stages[t])) return false;
  const std::vector<std::string> first = one.stages[s].devices, second = other.stages[t].devices;
  const auto exchange = [&](Pipeline& pipeline) {
    for (Stage& stage : pipeline.stages) {
      const bool is_first = stage.devices == first;
      if (is_first || stage.devices == second) stage.devices = is_first ? second : first;
    }
  };
  exchange(one);
  if (&one != &other) exchange(other);
  return true;
}

bool deal_anew(const DeviceIndex& devices, const std::vector<size_t>& pipelines, bool by_stage,
               Island& island) {
  const size_t num_stages = island.pipelines[pipelines.front()].stages.size();
  // Devices of stages of one chip and degree, those of a host together: hosts as they are met.
  using Place = std::pair<size_t, size_t>;
  std::map<std::pair<std::string, size_t>, std::map<Place, std::vector<std::string>>> pools;
  std::map<std::string, size_t> hosts;
  std::set<std::string> seen;
  const auto kind_of = [&](size_t p, size_t s) {
    const std::vector<std::string>& names = island.pipelines[p].stages[s].devices;
    return std::pair(devices.at(names.front()).chip.name, names.size());
  };
  for (size_t p : pipelines) {
    if (island.pipelines[p].stages.size() != num_stages) return false;
    for (size_t s = 0; s < num_stages; ++s) {
      if (kind_of(p, s) != kind_of(pipelines.front(), s)) return false;
      const std::vector<std::string>& names = island.pipelines[p].stages[s].devices;
      for (const std::string& name : names) {
        if (!seen.insert(name).second) return false;
      }
      const std::string host = host_name(devices.at(names.front()));
      const size_t number = hosts.emplace(host, hosts.size()).first->second;
      pools[kind_of(p, s)].emplace(Place(number, seen.size()), names);
    }
  }
  bool is_changed = false;
  for (size_t i = 0; i < pipelines.size() * num_stages; ++i) {
    const size_t s = by_stage ? i / pipelines.size() : i % num_stages;
    const size_t p = pipelines[by_stage ? i % pipelines.size() : i / num_stages];
    auto& pool = pools.at(kind_of(p, s));
    Stage& stage = island.pipelines[p].stages[s];
    is_changed |= stage.devices != pool.begin()->second;
    stage.devices = std::move(pool.begin()->second);
    pool.erase(pool.begin());
  }
  return is_changed;
}

bool leave_out(size_t pipeline, size_t taker, Island& island) {
  if (pipeline == taker) return false;
  island.pipelines[taker].samples += island.pipelines[pipeline].samples;
  island.pipelines.erase(island.pipelines.begin() + static_cast<std::ptrdiff_t>(pipeline));
  return true;
}

bool has_same_cut(const Pipeline& a, const Pipeline& b) {
  return std::ranges::equal(a.stages, b.stages, [](const Stage& one, const Stage& other) {
    return one.first == other.first && one.last == other.last &&
           one.tensor_parallel == other.tensor_parallel && one.recompute == other.recompute;
  });
}

}  // namespace skarv
