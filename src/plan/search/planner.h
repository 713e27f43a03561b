// The planner: cluster + model + profile -> the fastest plan that fits in memory. It searches over
// pools of identical devices by closed forms (site_search, island_search, team_search, polish); the
// finalists are priced by the simulator. What is made small is the time of a step, rounds between
// islands included: a site behind a link that costs the others more than it trains is left out.
#pragma once

#include "base/status.h"
#include "plan/report.h"
#include "plan/search/limits.h"
#include "spec/cluster.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

// Errors: a profile of another model, a chip that it lacks (kNotFound), and kResourceExhausted with
// the figures of the device that overflows least if nothing fits, or of the host whose keeper does
// not.
Result<PlanReport> make_plan(const Run& run, const Cluster& cluster, const Profile& profile,
                             const PlannerLimits& limits = {});

// The same figures for any plan that check_plan accepts; it need not fit in memory.
Result<PlanReport> price_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                              const Profile& profile);

// Whether the keepers of the plan fit in their hosts' memory, where the cluster file gives it.
Status check_keeper_memory(const PlanReport& report, const Cluster& cluster);

}  // namespace skarv
