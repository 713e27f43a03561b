// Clusters with a device less, or with less memory. A search that is not complete may overlook in a
// larger cluster what it finds in a smaller one; looking at both makes more never worse.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/cost/device_index.h"
#include "plan/search/world.h"
#include "spec/plan.h"

namespace skarv {

struct PoorerCluster {
  Cluster cluster;
  std::map<std::string, std::string> real_names;  // of its devices in the whole cluster
};

// One for each pool and kind of host that it lies on (by the devices that are there): without the
// last device of the last such host. None without any device.
std::vector<PoorerCluster> without_a_device(const World& world, const Cluster& cluster);

// The same devices, each with three quarters of its memory.
PoorerCluster with_less_memory(const Cluster& cluster, const DeviceIndex& devices);

// The plan in the names of the whole cluster.
void rename_devices(const std::map<std::string, std::string>& names, Plan& plan);

}  // namespace skarv
