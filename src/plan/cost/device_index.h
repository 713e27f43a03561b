// The cluster's devices and hosts by name.
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "spec/cluster.h"

namespace skarv {

using DeviceIndex = std::map<std::string, DeviceInfo>;  // "site/host/index"
Result<DeviceIndex> index_devices(const Cluster& cluster);

using HostIndex = std::map<std::string, const HostGroup*>;  // "site/host"; the cluster outlives it
HostIndex index_hosts(const Cluster& cluster);

inline std::string host_name(const DeviceInfo& device) { return device.site + "/" + device.host; }

}  // namespace skarv
