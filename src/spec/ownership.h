// Who holds and who owns what in an island: a function of plan, model and slab table alone, so that
// every process computes the same.
#pragma once

#include <string>
#include <vector>

#include "spec/plan.h"
#include "spec/slab.h"

namespace skarv {

// Devices of an island that hold the same set of tensors' replicas: one group per distinct set of
// holders, in the order of their first slabs. A tied embedding is held by the first and by the last
// stage of every pipeline.
struct ReduceGroup {
  std::vector<int> members;  // ranks in island.devices() order, ascending
  std::vector<int> slabs;    // ascending
};

struct Ownership {
  std::vector<std::string> devices;  // island.devices(): position = rank
  std::vector<int> owner;            // by slab: rank that has the fp32 master and the moments
  std::vector<ReduceGroup> groups;
  std::vector<std::vector<int>> tensors_held;  // by rank: indices into tensors_of(model), ascending

  std::vector<int> slabs_owned_by(int rank) const;
  int group_of_slab(int slab) const;
};

// Owners: slabs in descending size (ties: lowest slab) go to the holder that then has the fewest
// owned elements per owner share (ties: lowest rank). Every slab has an owner even if all its
// holders' shares are 0. All members of a tensor-parallel group count as holders of the whole
// tensor.
Ownership ownership_of(const Island& island, const Plan& plan, const SlabTable& table);

}  // namespace skarv
