// A running plan and a cluster that changed: is another plan worth what it moves?
#pragma once

#include <string>

#include "plan/search/planner.h"

namespace skarv {

struct Replanned {
  PlanReport report;  // of what should run
  // Which plan that is: the running one, what is left of it without the devices that are gone
  // (mend.h), or a new one.
  enum class Choice { kKept, kMended, kNew };
  Choice choice = Choice::kNew;
  std::string reason;       // why the running plan cannot go on; empty: it can
  int64_t moved_bytes = 0;  // weights and optimizer state that devices do not have yet
  double move_seconds = 0;  // until the last host and site have received it and workers run again
  // Of a step, rounds included, what the new plan gains on the kept or mended one, whichever is
  // chosen; 0: nothing is left of the running plan. And after how many steps it has won back what
  // it takes longer to begin.
  double gain_seconds = 0, pays_after_steps = 0;
};

// Devices, hosts and sites of the running plan may be gone or slower. The running plan is priced on
// the changed cluster, or what is left of it where it cannot go on; the new one replaces it if
// within the run's steps it wins back the time of moving state. Of equal hosts the new plan takes
// those that hold most of what it gives them. Errors: make_plan's; a plan for another model.
Result<Replanned> replan(const Plan& running, const Run& run, const Cluster& cluster,
                         const Profile& profile, const PlannerLimits& limits = {});

std::string name_of(Replanned::Choice choice);  // "kept", "mended", "new"
std::string to_text(const Replanned& replanned);

}  // namespace skarv
