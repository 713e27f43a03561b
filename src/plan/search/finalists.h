// The last word: shapes become plans, and the simulator says which is fastest and what fits.
#pragma once

#include <vector>

#include "plan/search/assembly.h"
#include "plan/search/price.h"
#include "plan/search/site_search.h"

namespace skarv {

// A whole plan as simulated.
struct Finalist {
  WholeShape shape;  // one shape an island
  Plan plan;         // without the idle devices
  int64_t step_ns = 0;
  int64_t overflow_bytes = 0;  // of the device that exceeds its memory most; 0: it fits
  std::string fullest;         // that device
};

class Finals {
 public:
  Finals(const World& world, const Market& market) : world_(world), market_(market) {}

  // For each island of the shape its best by the simulator, of the first `num_shapes`.
  Result<Finalist> judge(const WholeShape& whole, int num_shapes);

 private:
  struct Judged {
    Assembled assembled;
    int64_t step_ns = 0, overflow_bytes = 0;
    std::string fullest;
  };
  Result<Judged> judge(const IslandShape& shape, const std::string& name);

  const World& world_;
  const Market& market_;
};

// Island names: the site's, or the sites' joined by a plus.
std::string island_name(const World& world, const IslandChoice& choice);

}  // namespace skarv
