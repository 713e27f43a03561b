#include "spec/ownership.h"

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>

namespace skarv {
namespace {

std::vector<std::vector<int>> tensors_by_rank(const Island& island, const SlabTable& table,
                                              const std::unordered_map<std::string, int>& rank_of) {
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

// Holders of a group, those with equal shares in one queue, the one that owns fewest elements
// first: thousands of slabs find their owners without a look at all holders.
class Queues {
 public:
  Queues(const std::vector<int>& members, const std::vector<double>& share) {
    std::map<double, std::vector<Entry>> by_share;
    for (int rank : members) {
      if (share[rank] > 0) by_share[share[rank]].emplace_back(0, rank);
    }
    if (by_share.empty()) {  // none wants any
      for (int rank : members) by_share[1].emplace_back(0, rank);
    }
    for (auto& [one, entries] : by_share) {
      queues_.emplace_back(one, Queue(std::greater<>(), std::move(entries)));
    }
  }

  // Who then has the fewest elements per share; the lowest rank of several. -1: nobody is there.
  int take(int64_t size, const std::vector<int64_t>& owned) {
    int best = -1;
    double least = 0;
    for (auto& [share, queue] : queues_) {
      // What a rank has got in other groups is seen when it comes to the top.
      while (queue.top().first != owned[queue.top().second]) {
        const int rank = queue.top().second;
        queue.pop();
        queue.emplace(owned[rank], rank);
      }
      const auto [elements, rank] = queue.top();
      if (queues_.size() == 1) return rank;
      const double load = static_cast<double>(elements + size) / share;
      if (best >= 0 && (load > least || (load == least && rank > best))) continue;
      best = rank;
      least = load;
    }
    return best;
  }

 private:
  using Entry = std::pair<int64_t, int>;  // owned elements when it was put in, rank
  using Queue = std::priority_queue<Entry, std::vector<Entry>, std::greater<>>;

  std::vector<std::pair<double, Queue>> queues_;
};

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
  std::unordered_map<std::string, int> rank_of;
  for (size_t i = 0; i < result.devices.size(); ++i) {
    rank_of[result.devices[i]] = static_cast<int>(i);
  }
  result.tensors_held = tensors_by_rank(island, table, rank_of);

  std::vector<std::vector<int>> holders(table.tensors().size());
  for (size_t rank = 0; rank < result.tensors_held.size(); ++rank) {
    for (int tensor : result.tensors_held[rank]) holders[tensor].push_back(static_cast<int>(rank));
  }
  std::map<std::vector<int>, int> group_of;
  std::vector<int> group_of_tensor(table.tensors().size(), -1);
  for (int slab = 0; slab < table.size(); ++slab) {
    int& group = group_of_tensor[table[slab].tensor];
    if (group < 0) {
      const std::vector<int>& members = holders[table[slab].tensor];
      const auto [entry, is_new] =
          group_of.emplace(members, static_cast<int>(result.groups.size()));
      if (is_new) result.groups.push_back({members, {}});
      group = entry->second;
    }
    result.groups[group].slabs.push_back(slab);
  }

  std::vector<double> share(result.devices.size(), 1.0);
  std::vector<int64_t> owned(result.devices.size(), 0);
  for (size_t rank = 0; rank < share.size(); ++rank) {
    const auto found = plan.owner_share.find(result.devices[rank]);
    if (found != plan.owner_share.end()) share[rank] = found->second;
  }
  std::vector<Queues> queues;
  for (const ReduceGroup& group : result.groups) queues.emplace_back(group.members, share);
  result.owner.assign(table.size(), -1);
  for (int slab : table.by_size()) {
    const int owner = queues[group_of_tensor[table[slab].tensor]].take(table[slab].size(), owned);
    result.owner[slab] = owner;
    if (owner >= 0) owned[owner] += table[slab].size();
  }
  return result;
}

}  // namespace skarv
