// Two hosts with an H20 each, and a random small model: what a formula of the search is held
// against what plan/simulate and plan/memory say.
#pragma once

#include "plan/search/exhaustive.h"
#include "plan/search/world.h"
#include "plan/simulate/island_step.h"

namespace skarv {

struct TwoHosts {
  explicit TwoHosts(uint64_t seed)
      : small(random_case(seed)), workload(Workload::from_run(small.run, small.profile).value()) {
    small.cluster = {};
    small.cluster.sites.push_back({"s", 0, {{"h", 2, 0, 12.5e9, 1e-5, {}}}});
    small.cluster.sites[0].hosts[0].devices.push_back({"h20", 1, 0, 0, ""});
    devices = index_devices(small.cluster).value();
    hosts = index_hosts(small.cluster);
  }
  TwoHosts(const TwoHosts&) = delete;

  StepWorld step_world() const {
    return {workload, small.cluster, devices, hosts, small.profile, Precision::kFp32};
  }
  World world() const {
    return World::create(workload, small.cluster, small.profile, Precision::kFp32, 0, {}).value();
  }
  int num_layers() const { return small.run.model.num_layers(); }

  SmallCase small;
  Workload workload;
  DeviceIndex devices;
  HostIndex hosts;
};

}  // namespace skarv
