// Equal pipelines through the devices of a few pools: every one has stages on each of them. The
// simplest team is one pool.
#pragma once

#include <optional>
#include <vector>

#include "plan/search/supply.h"

namespace skarv {

struct TeamQuestion {
  std::vector<int> pools;
  int64_t samples = 1;      // that the team should take, a step
  int other_pipelines = 0;  // of the island, that share the optimizer state
  int num_wanted = 8;
};

// The fastest found for that many samples, best first, each alone; empty if nothing fits. Looks at
// every number of replicas, tensor parallelism and microbatch by a bound first, and cuts layers
// only for the most promising; then at orders of the pools along the pipeline, both flows, both
// placements.
std::vector<PipelineGroup> search_team(const World& world, const Supply& supply,
                                       const TeamQuestion& question);

// Best of cuts, flows and placements for stages that are given with pools and degrees; nullopt if
// none fits.
std::optional<PipelineGroup> finish_group(const World& world, PipelineGroup group, int64_t samples,
                                          int other_pipelines);

}  // namespace skarv
