// The fastest shapes of one island, whatever its pools are.
#pragma once

#include <map>
#include <vector>

#include "plan/search/supply.h"

namespace skarv {

struct IslandQuestion {
  std::vector<int> pools;
  int64_t samples = 1;
};

struct IslandAnswer {
  std::vector<IslandShape> shapes;        // best first, each of another shape
  std::map<int, int64_t> step_with_pool;  // the best step found that uses a pool at all
};

// No shapes if nothing fits in memory. Pools form teams
// (plan/search/ team_search.h), one pipeline each or many; teams share the samples; a pool may be
// left out, and what a team cannot use is offered to smaller ones. Few devices are searched
// completely (plan/search/small_search.h).
IslandAnswer search_island(const World& world, const IslandQuestion& question);

}  // namespace skarv
