// A running plan and a cluster that changed: is another plan worth what it moves?
#pragma once

#include <string>

#include "plan/search/planner.h"

namespace skarv {

struct Replanned {
  PlanReport report;        // of what should run
  bool is_kept = false;     // it is the running plan; else a new one
  std::string reason;       // why the running plan cannot go on, or how it compares
  int64_t moved_bytes = 0;  // weights and optimizer state that devices do not have yet
  double move_seconds = 0;  // until the last host and site have received it and workers run again
  double gain_seconds = 0;  // of a step, rounds included; 0: the running plan cannot go on
  double pays_after_steps = 0;
};

// Devices, hosts and sites of the running plan may be gone or slower. The running plan is priced on
// the changed cluster where it can still run; the new one replaces it if within the run's steps it
// wins back the time of moving state. Errors: make_plan's; a plan for another model.
Result<Replanned> replan(const Plan& running, const Run& run, const Cluster& cluster,
                         const Profile& profile, const PlannerLimits& limits = {});

std::string to_text(const Replanned& replanned);

}  // namespace skarv
