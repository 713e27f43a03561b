// Which sites form islands, and how the global batch is shared among them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/search/island_search.h"

namespace skarv {

// An island: some whole sites, and the shapes found for its share of the batch, best first.
struct IslandChoice {
  std::vector<int> sites;
  int64_t samples = 0;
  std::vector<IslandShape> shapes;
  std::map<int, int64_t> step_with_pool;  // the best step found that uses a pool at all

  int64_t step_ns() const { return shapes.front().step_ns; }
};

struct WholeShape {
  std::vector<IslandChoice> islands;
  std::vector<int> left_out;  // sites

  int64_t step_ns() const;  // of the slowest island
};

// Shares of the batch in which the shapes that stand first would end together, by island.
std::vector<int64_t> balance(const World& world, const WholeShape& whole, int64_t global_batch);

// Mostly one island a site. A site that cannot hold the model alone joins others if the limits let
// an island span sites, else it is left out, and so is one for which not even a sample is left.
// Best first, empty if nothing fits anywhere. At least `min_islands`.
std::vector<WholeShape> search_sites(const World& world, int64_t global_batch, int min_islands);

}  // namespace skarv
