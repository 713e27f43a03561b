// The last small steps: a plan is changed a little here and there and the simulator asked each
// time, as long as that finds faster ones. Closed forms and shapes do not see what is left then:
// a sample more in one replica, another schedule in one pipeline.
#pragma once

#include "plan/search/limits.h"
#include "plan/search/trials.h"

namespace skarv {

struct RefineEffort {
  int64_t most_actions = 0;  // to be played, as PriceBook counts them
  int64_t most_in_vain = 0;  // one after the other without any gain; 0: as many as all
  bool draws = false;        // several edits at once, where no known change helps (edit_draw.h)
  bool by_island = false;    // all changes of an island before any of the next one
};

// What promises most comes first: many samples at once from pipelines that end late, devices dealt
// out anew, schedules and microbatches, two stages a device, layers from stages that compute long
// (pipeline_use.h), layers over borders, samples between pipelines; then recomputation, a pipeline
// left out, layers to stages further away, two borders at once, devices swapped. First in the
// slowest island, then in those that could take something off it. Returns the step, never longer
// than before; stops when the effort is used up. What has been tried in vain is not tried again.
// Error: something is broken. REQUIRES: the plan fits in memory; an island has whole sites.
Result<int64_t> refine(const Pricer& pricer, const PlannerLimits& limits,
                       const RefineEffort& effort, Tried& tried, PricedPlan& plan);

}  // namespace skarv
