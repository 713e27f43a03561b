// What every action of an island's schedule costs, in integer nanoseconds.
#pragma once

#include <map>
#include <vector>

#include "plan/cost/link_cost.h"
#include "spec/nominal.h"
#include "spec/run.h"

namespace skarv {

// Devices of the cluster by name.
using DeviceIndex = std::map<std::string, DeviceInfo>;
Result<DeviceIndex> index_devices(const Cluster& cluster);

class IslandCost {
 public:
  // Error: a device that the cluster lacks, a gap in the profile, a missing link.
  static Result<IslandCost> create(const Island& island, const Ownership& ownership,
                                   const SlabTable& table, const Run& run, const Cluster& cluster,
                                   const DeviceIndex& devices, const Profile& profile);

  // Computing actions; nominal time divided by the pace of a paced device.
  int64_t compute_ns(int rank, const Action& action) const;
  const LinkCost& link(int from, int to) const { return links_[from * num_ranks_ + to]; }
  // From the arrival of the last member to the end for all. Reduce and gather: the slowest member
  // moves what it sends and receives over its slowest link in the group, plus one latency. Clip:
  // to the first rank and back.
  int64_t reduce_ns(int group) const { return reduce_ns_[group]; }
  int64_t gather_ns(int group) const { return gather_ns_[group]; }
  int64_t clip_ns() const { return clip_ns_; }

 private:
  void add_collectives(const Ownership& ownership, const SlabTable& table, Precision precision);

  int num_ranks_ = 0;
  std::vector<NominalTimes> times_;
  std::vector<double> pace_;
  std::vector<LinkCost> links_;
  std::vector<int64_t> reduce_ns_, gather_ns_;
  int64_t clip_ns_ = 0;
};

}  // namespace skarv
