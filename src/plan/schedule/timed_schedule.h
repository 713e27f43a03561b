// The schedule that an island runs: ordered for its devices' own times, links and memory.
#pragma once

#include "plan/cost/device_index.h"
#include "plan/schedule/builder.h"
#include "spec/profile.h"
#include "spec/slab.h"

namespace skarv {

// Planner and agent both call this, so that what was predicted is what runs. Activations may fill
// what plan/memory says is left on a device, less a twentieth. Error: a gap in the profile, a
// missing link, an unknown rule. REQUIRES: check_plan passed.
Result<Schedule> build_timed_schedule(const Island& island, const Ownership& ownership,
                                      const SlabTable& table, const Run& run,
                                      const Cluster& cluster, const DeviceIndex& devices,
                                      const Profile& profile, const OrderOptions& options);

}  // namespace skarv
