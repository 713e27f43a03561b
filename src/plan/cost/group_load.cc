#include "plan/cost/group_load.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

namespace skarv {
namespace {

// `total` in proportion to `share`, whole numbers that add up.
std::vector<int64_t> divide(int64_t total, const std::vector<double>& share) {
  double sum = 0;
  for (double one : share) sum += one;
  std::vector<int64_t> parts;
  double before = 0;
  int64_t given = 0;
  for (double one : share) {
    before += one;
    const int64_t upto = std::llround(static_cast<double>(total) * (before / sum));
    parts.push_back(upto - given);
    given = upto;
  }
  return parts;
}

}  // namespace

std::map<int, int64_t> GroupLoad::owned_by_rank() const {
  std::map<int, int64_t> result;
  for (const OwnedPart& part : owned) result[part.rank] += part.elements;
  return result;
}

std::vector<GroupLoad> loads_of(const Ownership& ownership, const SlabTable& table) {
  std::vector<GroupLoad> loads;
  std::vector<std::vector<OwnedPart>> parts(ownership.devices.size());  // by rank, of one group
  for (const ReduceGroup& group : ownership.groups) {
    GroupLoad& load = loads.emplace_back();
    load.members = group.members;
    for (int index : group.slabs) {
      const Slab& slab = table[index];
      load.num_elements += slab.size();
      // Slabs stand in the order of their layers.
      std::vector<OwnedPart>& mine = parts[ownership.owner[index]];
      if (mine.empty() || mine.back().layer != slab.layer) {
        mine.push_back({ownership.owner[index], slab.layer, 0});
      }
      mine.back().elements += slab.size();
    }
    for (int rank : group.members) {
      load.owned.insert(load.owned.end(), parts[rank].begin(), parts[rank].end());
      parts[rank].clear();
    }
  }
  return loads;
}

std::vector<GroupLoad> loads_of(const Island& island, const Workload& workload,
                                const std::map<std::string, double>& owner_share) {
  const std::vector<std::string> names = island.devices();
  std::unordered_map<std::string_view, int> rank_of;
  std::vector<double> share(names.size(), 1.0);
  for (size_t i = 0; i < names.size(); ++i) {
    rank_of[names[i]] = static_cast<int>(i);
    const auto found = owner_share.find(names[i]);
    if (found != owner_share.end()) share[i] = found->second;
  }
  std::vector<std::vector<int>> holders(workload.num_layers());
  for (const Pipeline& pipeline : island.pipelines) {
    for (const Stage& stage : pipeline.stages) {
      for (const std::string& device : stage.devices) {
        for (int layer = stage.first; layer < stage.last; ++layer) {
          holders[layer].push_back(rank_of.at(device));
          const int tied = workload.tied_with(layer);
          if (tied >= 0) holders[tied].push_back(rank_of.at(device));
        }
      }
    }
  }
  std::map<std::vector<int>, size_t> group_of;
  std::vector<GroupLoad> loads;
  struct Layer {
    int index;
    std::vector<int64_t> parts;  // by member
  };
  std::vector<std::vector<Layer>> layers;  // by group
  for (int layer = 0; layer < workload.num_layers(); ++layer) {
    std::vector<int>& members = holders[layer];
    std::ranges::sort(members);
    members.erase(std::unique(members.begin(), members.end()), members.end());
    const auto [entry, is_new] = group_of.emplace(members, loads.size());
    if (is_new) {
      loads.emplace_back().members = members;
      layers.emplace_back();
    }
    std::vector<double> shares;
    for (int rank : members) shares.push_back(share[rank]);
    if (std::ranges::all_of(shares, [](double one) { return one <= 0; })) {
      shares.assign(shares.size(), 1.0);
    }
    const int64_t total = workload.size(layer).parameters;
    layers[entry->second].push_back({layer, divide(total, shares)});
    loads[entry->second].num_elements += total;
  }
  for (size_t group = 0; group < loads.size(); ++group) {
    GroupLoad& load = loads[group];
    load.owned.reserve(load.members.size() * layers[group].size());
    for (size_t i = 0; i < load.members.size(); ++i) {
      for (const Layer& layer : layers[group]) {
        if (layer.parts[i] > 0)
          load.owned.push_back({load.members[i], layer.index, layer.parts[i]});
      }
    }
  }
  return loads;
}

}  // namespace skarv
