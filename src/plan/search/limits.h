// What a caller allows the planner: what its trainer can run, and how long the search may take.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "spec/plan.h"

namespace skarv {

struct PlannerLimits {
  int max_tensor_parallel = std::numeric_limits<int>::max();
  bool island_may_span_hosts = true;
  bool island_may_span_sites = true;
  std::vector<std::string> schedules;  // allowed rules; empty: all that the planner knows
  // CPU seconds of the search, in all the clusters that it looks at; when they are over, the best
  // so far is the answer. 0: as long as it takes, which is seconds.
  double budget_seconds = 0;
  // When they are over, in CPU seconds of the process; 0: never. make_plan sets it, once.
  double ends_at = 0;
  // The answer is refined for up to half a minute more, as long as there are changes to try.
  bool thorough = false;
  // The best plan on each type of chip alone is looked for too, to compare the answer with.
  bool compares_types = true;
  // Called now and then on the caller's thread with the part done, 0 to 1, and the best step time
  // so far (0: none yet).
  std::function<void(double done, double best_step_seconds)> progress;

  bool allows(const std::string& schedule) const {
    return schedules.empty() || std::ranges::find(schedules, schedule) != schedules.end();
  }

  // The budget counts from now on.
  void start_budget();
  // What is under way ends soon then.
  bool is_over_budget() const;
};

// What `skarv train` runs today: an island is one host, its stages one device each.
PlannerLimits trainer_limits();

// Error: the first stage or island of the plan that is beyond the limits, with its place.
Status check_limits(const Plan& plan, const PlannerLimits& limits);

}  // namespace skarv
