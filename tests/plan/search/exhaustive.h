// The planner's opponent: every arrangement of a few devices, timed by a second evaluator that is
// written as plainly as possible and shares nothing with src/plan/search. 1F1B only, tensor
// parallelism 1.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "spec/cluster.h"
#include "spec/plan.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

struct SmallCase {
  Run run;
  Cluster cluster;
  Profile profile;
};
// Up to six devices of three types in one or two sites; memory ample or scarce.
SmallCase random_case(uint64_t seed);

struct Exhausted {
  // The best of all and those behind it, by the plain evaluator; empty: nothing fits.
  std::vector<std::pair<double, Plan>> plans;  // seconds of the step
  int64_t num_compared = 0;                    // sets of pipelines
};
Exhausted exhaust(const SmallCase& small);

}  // namespace skarv
