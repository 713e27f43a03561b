// Two hosts with an H20 each, and a random small model: what a formula of the search is held
// against what plan/simulate and plan/memory say.
#pragma once

#include "plan/search/exhaustive.h"
#include "plan/search/world.h"
#include "plan/simulate/island_step.h"

namespace skarv {

struct TwoHosts {
  explicit TwoHosts(uint64_t seed);
  TwoHosts(const TwoHosts&) = delete;

  StepWorld step_world() const;
  World world() const;
  int num_layers() const { return small.run.model.num_layers(); }

  SmallCase small;
  Workload workload;
  DeviceIndex devices;
  HostIndex hosts;
};

}  // namespace skarv
