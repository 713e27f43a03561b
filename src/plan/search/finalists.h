// The last word: shapes become plans, and the simulator says which is fastest and what fits.
#pragma once

#include <vector>

#include "plan/search/assembly.h"
#include "plan/search/site_search.h"
#include "plan/simulate/island_step.h"

namespace skarv {

// A whole plan as simulated.
struct Finalist {
  WholeShape shape;  // one shape an island
  Plan plan;         // without the idle devices and the model
  int64_t step_ns = 0;
  int64_t overflow_bytes = 0;  // of the device that exceeds its memory most; 0: it fits
  std::string fullest;         // that device
};

class Finals {
 public:
  // Both outlive it.
  Finals(const World& world, const StepWorld& step_world)
      : world_(world), step_world_(step_world) {}

  // For each island of the shape its best by the simulator, of the first `num_shapes`.
  Result<Finalist> judge(const WholeShape& whole, int num_shapes);

 private:
  struct Judged {
    Assembled assembled;
    int64_t step_ns = 0, overflow_bytes = 0;
    std::string fullest;
  };
  // With even optimizer shares, and with shares by speed if the chips differ: the better.
  Result<Judged> judge(const IslandShape& shape, const std::string& name);
  Status price(Judged& judged);

  const World& world_;
  const StepWorld& step_world_;
};

// Island names: the site's, or the sites' joined by a plus.
std::string island_name(const World& world, const IslandChoice& choice);

}  // namespace skarv
