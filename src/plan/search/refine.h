// The last small steps: a plan is changed a little here and there and the simulator asked each
// time, as long as that finds faster ones. Closed forms and shapes do not see what is left then:
// a sample more in one replica, another schedule in one pipeline.
#pragma once

#include "plan/search/finalists.h"
#include "plan/search/limits.h"

namespace skarv {

// Samples between pipelines, layers over borders, microbatches, schedules, recomputation, two
// stages a device; then layers to stages further away, two borders at once, devices swapped.
// Returns the step, never longer than before; stops when `most_actions` have been played. Error:
// something is broken. REQUIRES: the plan fits in memory; an island has whole sites.
Result<int64_t> refine(const Pricer& pricer, const PlannerLimits& limits, int64_t most_actions,
                       PricedPlan& plan);

}  // namespace skarv
