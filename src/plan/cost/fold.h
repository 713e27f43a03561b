// Devices that behave alike are simulated once. A unit is a pipeline, or, where all its stages have
// the same tensor parallelism, one member's chain through them (chains of a pipeline do not talk to
// each other during the step). Units fold into one when they have the same layers, microbatches,
// chips, paces and shares, and the same place in the network.
//
// "The same place": units and hosts are coloured in turn until the colours are stable; a unit's
// colour holds those of its hosts and which seats share one, a host's colour holds the units on it
// and where they sit. Then every flow of a class shares its wires with equally many flows of every
// other class, so max-min rates, and with them all times, are equal within a class: the folded
// times are exact. Sites are never folded into each other, nor is what FoldRules::apart lists.
//
// Not exact: the update of owned slabs. Owners hold whole slabs, so replicas differ by up to one
// slab a group; the longest counts.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/cost/device_index.h"
#include "spec/plan.h"
#include "spec/profile.h"

namespace skarv {

struct Fold {
  Island island;                 // representatives; a chain has one device a stage
  std::vector<int> multiplier;   // by pipeline of `island`: units that it stands for
  std::vector<int> full_rank;    // by rank of `island`: its rank in the whole island
  std::vector<int> folded_rank;  // by rank of the whole island
  // By rank of `island`: equal flows that leave its host together, and its host's colour.
  std::vector<int> on_host, host_color;

  int num_ranks() const { return static_cast<int>(full_rank.size()); }
};

struct FoldRules {
  std::map<std::string, double> owner_share;  // of the plan
  std::set<std::string> apart;  // devices that differ from all others: stragglers, measured links
  bool whole = false;           // nothing is folded, every device is its own class
};
// REQUIRES: every device of the island is in `devices`.
Fold fold_island(const Island& island, const DeviceIndex& devices, const HostIndex& hosts,
                 const FoldRules& rules);

}  // namespace skarv
