// Who holds the same layers, and who owns how much of them: what reduce, update and gather cost
// follows from this, whether owners hold whole slabs (a real run) or shares (a plan in the making).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/cost/workload.h"
#include "spec/ownership.h"
#include "spec/plan.h"

namespace skarv {

struct OwnedPart {
  int rank, layer;
  int64_t elements;
};

struct GroupLoad {
  std::vector<int> members;      // ranks of the island, ascending
  std::vector<OwnedPart> owned;  // by rank, then layer
  int64_t num_elements = 0;

  std::map<int, int64_t> owned_by_rank() const;
};

// As a run has them, slab by slab.
std::vector<GroupLoad> loads_of(const Ownership& ownership, const SlabTable& table);

// Without slabs: every holder owns of each layer in proportion to its share (absent: 1), the sum is
// exact. Groups stand in the order of their first layers, as ownership_of has them. Differs from
// the slabs' by at most one slab a member.
std::vector<GroupLoad> loads_of(const Island& island, const Workload& workload,
                                const std::map<std::string, double>& owner_share);

}  // namespace skarv
