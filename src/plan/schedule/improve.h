// Local search: one piece of work moves within its worker's order, the step is played again from
// there, and the new order is kept when it is not much worse.
#pragma once

#include "plan/schedule/goal.h"

namespace skarv {

struct Improvement {
  Objective objective = Objective::kMakespan;
  int64_t max_pieces = 0;  // played pieces of work, a measure of effort that no clock disturbs
  uint64_t seed = 1;
};

// Returns the best order found, `order` itself if none is better. Stops early when the bounds are
// met. Deterministic, in whole numbers. REQUIRES: `order` is valid and fits in memory.
WorkOrder improve(WorkOrder order, const PipelineTimes& times, const Improvement& options);

}  // namespace skarv
