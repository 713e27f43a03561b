#include "plan/cost/island_cost.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "spec/traffic.h"

namespace skarv {

Result<DeviceIndex> index_devices(const Cluster& cluster) {
  SKARV_ASSIGN(std::vector<DeviceInfo> devices, expand_devices(cluster));
  DeviceIndex index;
  for (DeviceInfo& device : devices) index.emplace(device.name, device);
  return index;
}

Result<IslandCost> IslandCost::create(const Island& island, const Ownership& ownership,
                                      const SlabTable& table, const Run& run,
                                      const Cluster& cluster, const DeviceIndex& devices,
                                      const Profile& profile) {
  IslandCost cost;
  std::vector<const DeviceInfo*> infos;
  for (const std::string& name : ownership.devices) {
    const auto found = devices.find(name);
    if (found == devices.end()) {
      return Status(Code::kNotFound, Scope::kConfig, cat("the cluster has no device ", name))
          .with_hint("check the plan: check_plan names the place");
    }
    infos.push_back(&found->second);
  }
  cost.num_ranks_ = static_cast<int>(infos.size());
  cost.links_.resize(infos.size() * infos.size());
  for (int rank = 0; rank < cost.num_ranks_; ++rank) {
    const DeviceInfo& device = *infos[rank];
    SKARV_ASSIGN(NominalTimes times, NominalTimes::create(island, ownership, table, run.model,
                                                          profile, device.chip.name, rank));
    cost.times_.push_back(std::move(times));
    cost.pace_.push_back(device.pace > 0 ? device.pace : 1);
    for (int other = 0; other < rank; ++other) {
      SKARV_ASSIGN(const LinkCost link, link_cost(*infos[other], device, cluster, profile));
      cost.links_[rank * cost.num_ranks_ + other] = link;
      cost.links_[other * cost.num_ranks_ + rank] = link;
    }
  }
  cost.add_collectives(ownership, table, run.precision);
  return cost;
}

void IslandCost::add_collectives(const Ownership& ownership, const SlabTable& table,
                                 Precision precision) {
  for (int rank = 1; rank < num_ranks_; ++rank) {
    clip_ns_ = std::max(clip_ns_, 2 * link(0, rank).latency_ns);
  }
  for (size_t g = 0; g < ownership.groups.size(); ++g) {
    const int group = static_cast<int>(g);
    const std::vector<int>& members = ownership.groups[g].members;
    int64_t reduce = 0, gather = 0, total_reduce = 0, total_gather = 0;
    for (int rank : members) {
      total_reduce += reduce_bytes(ownership, table, group, rank);
      total_gather += gather_bytes(ownership, table, group, rank, precision);
    }
    const auto num_others = static_cast<int64_t>(members.size()) - 1;
    for (int rank : members) {
      LinkCost slowest(INFINITY, 0);
      for (int other : members) {
        if (other == rank) continue;
        slowest.bandwidth = std::min(slowest.bandwidth, link(rank, other).bandwidth);
        slowest.latency_ns = std::max(slowest.latency_ns, link(rank, other).latency_ns);
      }
      if (num_others == 0) continue;
      // An owner receives from every other what they send for its slabs, and sends the weights of
      // these slabs to every other; what it receives of weights is the rest.
      const int64_t sent = reduce_bytes(ownership, table, group, rank);
      const int64_t owned = total_reduce / num_others - sent;  // gradient bytes of its own slabs
      reduce = std::max(
          reduce, slowest.latency_ns + slowest.transfer_ns(std::max(sent, owned * num_others)));
      const int64_t given = gather_bytes(ownership, table, group, rank, precision);
      const int64_t taken = (total_gather - given) / num_others;
      gather = std::max(gather, slowest.latency_ns + slowest.transfer_ns(std::max(given, taken)));
    }
    reduce_ns_.push_back(reduce);
    gather_ns_.push_back(gather);
  }
}

int64_t IslandCost::compute_ns(int rank, const Action& action) const {
  const auto nominal = times_[rank].of(action).count();
  return pace_[rank] == 1 ? nominal : std::llround(static_cast<double>(nominal) / pace_[rank]);
}

}  // namespace skarv
