// The price of one island: its schedule, played out.
#pragma once

#include "plan/memory/memory.h"
#include "plan/schedule/zero_bubble.h"
#include "plan/simulate/simulate.h"
#include "spec/nominal.h"

namespace skarv {

// What does not change while plans are compared. All outlive it.
struct Market {
  const Run& run;
  const Cluster& cluster;
  const Profile& profile;
  const DeviceIndex& devices;
  const SlabTable& table;
};

struct IslandPrice {
  Ownership ownership;
  StepTrace trace;
  std::vector<DeviceMemory> memory;  // by rank

  double step_seconds() const { return static_cast<double>(trace.step_ns) * 1e-9; }
  // The rank that exceeds its limit by most, or -1.
  int fullest_overflow() const;
};

// `plan` gives the owner shares; `order` the effort that the schedule is worth.
Result<IslandPrice> price_island(const Island& island, const Plan& plan, const Market& market,
                                 const OrderOptions& order = {});

// Seconds that one device takes for the whole model: one sample of a microbatch of this size, and
// the update of all parameters.
struct AloneTime {
  double per_sample = 0, update = 0;
};
Result<AloneTime> alone_time(const DeviceInfo& device, int microbatch, const Market& market);

}  // namespace skarv
