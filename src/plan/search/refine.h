// The last small steps: a plan is changed a little here and there and the simulator asked each
// time, as long as that finds faster ones. Closed forms and shapes do not see what is left then:
// a sample more in one replica, another schedule in one pipeline.
#pragma once

#include "plan/search/limits.h"
#include "plan/simulate/island_step.h"

namespace skarv {

// Samples between pipelines, layers over borders, microbatches, schedules, recomputation; devices
// stay where they are. Returns the step, never longer than before; stops when `most_actions` have
// been played. REQUIRES: the plan fits in memory; an island has whole sites.
int64_t refine(const StepWorld& world, const PlannerLimits& limits, int64_t most_actions,
               int64_t step_ns, Plan& plan);

}  // namespace skarv
