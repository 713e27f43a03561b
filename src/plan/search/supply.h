// How many devices of each pool are still free.
#pragma once

#include <climits>
#include <vector>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

class Supply {
 public:
  // All devices of these pools, none of the others; of each pool on at most `most_hosts`.
  Supply(const World& world, const std::vector<int>& pools, int most_hosts = INT_MAX);

  int free(int pool) const { return free_[pool]; }
  // Groups of that many devices, each within a host.
  int num_groups(int pool, int tensor_parallel) const;
  // False, and nothing is taken, when it does not suffice.
  bool take(const PipelineGroup& group);
  bool take(const IslandShape& island);
  void put_back(const PipelineGroup& group);

 private:
  const World* world_;
  std::vector<int> free_;
};

}  // namespace skarv
