#include "spec/ownership.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace skarv {
namespace {

std::vector<std::vector<int>> tensors_by_rank(const Island& island, const SlabTable& table,
                                              const std::map<std::string, int>& rank_of) {
  std::vector<std::vector<int>> held(rank_of.size());
  for (const Pipeline& pipeline : island.pipelines) {
    for (const Stage& stage : pipeline.stages) {
      std::vector<int> used;
      for (size_t i = 0; i < table.tensors().size(); ++i) {
        const TensorSpec& tensor = table.tensors()[i];
        const auto inside = [&](int layer) { return layer >= stage.first && layer < stage.last; };
        if (inside(tensor.layer) || inside(tensor.second_layer))
          used.push_back(static_cast<int>(i));
      }
      for (const std::string& device : stage.devices) {
        std::vector<int>& mine = held[rank_of.at(device)];
        mine.insert(mine.end(), used.begin(), used.end());
      }
    }
  }
  for (std::vector<int>& mine : held) {
    std::sort(mine.begin(), mine.end());
    mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
  }
  return held;
}

}  // namespace

std::vector<int> Ownership::slabs_owned_by(int rank) const {
  std::vector<int> result;
  for (size_t slab = 0; slab < owner.size(); ++slab) {
    if (owner[slab] == rank) result.push_back(static_cast<int>(slab));
  }
  return result;
}

int Ownership::group_of_slab(int slab) const {
  for (size_t group = 0; group < groups.size(); ++group) {
    if (std::binary_search(groups[group].slabs.begin(), groups[group].slabs.end(), slab)) {
      return static_cast<int>(group);
    }
  }
  return -1;
}

Ownership ownership_of(const Island& island, const Plan& plan, const SlabTable& table) {
  Ownership result;
  result.devices = island.devices();
  std::map<std::string, int> rank_of;
  for (size_t i = 0; i < result.devices.size(); ++i) {
    rank_of[result.devices[i]] = static_cast<int>(i);
  }
  result.tensors_held = tensors_by_rank(island, table, rank_of);

  std::vector<std::vector<int>> holders(table.tensors().size());
  for (size_t rank = 0; rank < result.tensors_held.size(); ++rank) {
    for (int tensor : result.tensors_held[rank]) holders[tensor].push_back(static_cast<int>(rank));
  }
  std::map<std::vector<int>, int> group_of;
  for (int slab = 0; slab < table.size(); ++slab) {
    const std::vector<int>& members = holders[table[slab].tensor];
    const auto [entry, is_new] = group_of.emplace(members, static_cast<int>(result.groups.size()));
    if (is_new) result.groups.push_back({members, {}});
    result.groups[entry->second].slabs.push_back(slab);
  }

  std::vector<double> share(result.devices.size(), 1.0), owned(result.devices.size(), 0.0);
  for (size_t rank = 0; rank < share.size(); ++rank) {
    const auto found = plan.owner_share.find(result.devices[rank]);
    if (found != plan.owner_share.end()) share[rank] = found->second;
  }
  std::vector<int> by_size(table.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](int a, int b) { return table[a].size() > table[b].size(); });
  result.owner.assign(table.size(), -1);
  for (int slab : by_size) {
    const std::vector<int>& members = holders[table[slab].tensor];
    const bool none_wants =
        std::all_of(members.begin(), members.end(), [&](int rank) { return share[rank] <= 0; });
    double best = 0;
    for (int rank : members) {
      if (share[rank] <= 0 && !none_wants) continue;
      const double load =
          (owned[rank] + static_cast<double>(table[slab].size())) / (none_wants ? 1 : share[rank]);
      if (result.owner[slab] < 0 || load < best) {
        result.owner[slab] = rank;
        best = load;
      }
    }
    if (result.owner[slab] >= 0)
      owned[result.owner[slab]] += static_cast<double>(table[slab].size());
  }
  return result;
}

}  // namespace skarv
