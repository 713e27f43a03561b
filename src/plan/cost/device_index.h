// The cluster's devices and hosts by name.
#pragma once

#include <string>
#include <unordered_map>

#include "base/status.h"
#include "spec/cluster.h"

namespace skarv {

using DeviceIndex = std::unordered_map<std::string, DeviceInfo>;  // "site/host/index"
Result<DeviceIndex> index_devices(const Cluster& cluster);

// "site/host"; the cluster outlives it.
using HostIndex = std::unordered_map<std::string, const HostGroup*>;
HostIndex index_hosts(const Cluster& cluster);

inline std::string host_name(const DeviceInfo& device) { return device.site + "/" + device.host; }

}  // namespace skarv
