#include "plan/search/two_hosts.h"

namespace skarv {

namespace {

SmallCase small_case(uint64_t seed) {
  SmallCase small = random_case(seed);
  small.cluster = {};
  small.cluster.sites.push_back({"s", 0, {{"h", 2, 0, 12.5e9, 1e-5, {}}}});
  small.cluster.sites[0].hosts[0].devices.push_back({"h20", 1, 0, 0, ""});
  return small;
}

}  // namespace

TwoHosts::TwoHosts(uint64_t seed)
    : small(small_case(seed)),
      workload(Workload::from_run(small.run, small.profile).value()),
      devices(index_devices(small.cluster).value()),
      hosts(index_hosts(small.cluster)) {}

StepWorld TwoHosts::step_world() const {
  return {workload, small.cluster, devices, hosts, small.profile, Precision::kFp32};
}

World TwoHosts::world() const {
  return World::create(workload, small.cluster, small.profile, Precision::kFp32, 0, {}).value();
}

}  // namespace skarv
