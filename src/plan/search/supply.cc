#include "plan/search/supply.h"

#include <algorithm>

namespace skarv {

Supply::Supply(const World& world, const std::vector<int>& pools, int most_hosts)
    : world_(&world), free_(world.pools().size(), 0) {
  for (int index : pools) {
    const Pool& pool = world.pool(index);
    free_[index] = pool.per_host * std::min(pool.num_hosts(), most_hosts) - pool.num_idle;
  }
}

int Supply::num_groups(int pool, int tensor_parallel) const {
  const int per_host = world_->pool(pool).per_host;
  return free_[pool] / per_host * (per_host / tensor_parallel) +
         free_[pool] % per_host / tensor_parallel;
}

bool Supply::take(const PipelineGroup& group) {
  for (size_t s = 0; s < group.pipeline.stages.size(); ++s) {
    const StageShape& stage = group.pipeline.stages[s];
    free_[stage.pool] -= stage.tensor_parallel * group.replicas;
  }
  for (const StageShape& stage : group.pipeline.stages) {
    if (free_[stage.pool] >= 0) continue;
    put_back(group);
    return false;
  }
  return true;
}

bool Supply::take(const IslandShape& island) {
  for (size_t g = 0; g < island.groups.size(); ++g) {
    if (take(island.groups[g])) continue;
    while (g-- > 0) put_back(island.groups[g]);
    return false;
  }
  return true;
}

void Supply::put_back(const PipelineGroup& group) {
  for (const StageShape& stage : group.pipeline.stages) {
    free_[stage.pool] += stage.tensor_parallel * group.replicas;
  }
}

}  // namespace skarv
