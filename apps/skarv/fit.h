// Whether a plan that somebody wrote fits where it is to run.
#pragma once

#include "plan/report.h"
#include "spec/cluster.h"

namespace skarv {

// By the predicted figures: the first device that is too small, or the host of its keeper.
Status check_fits(const PlanReport& report, const Cluster& cluster);

}  // namespace skarv
