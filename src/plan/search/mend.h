// What is left of a running plan when devices are gone: no worker that is still there has to hold
// other layers than it does.
#pragma once

#include <optional>

#include "plan/cost/device_index.h"
#include "spec/plan.h"

namespace skarv {

// Groups that lost a device take others of the same chip on one host of their site, idle ones or
// those of a pipeline that is given up; pipelines that find none are given up, and the others share
// their samples in proportion to their own. `devices`: those that are there. Nothing: no pipeline
// is left. Devices that are left over are idle. REQUIRES: the plan is one of the cluster as it was.
std::optional<Plan> mended(const Plan& running, const DeviceIndex& devices);

}  // namespace skarv
