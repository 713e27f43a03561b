#include "plan/cost/device_index.h"

#include "base/text.h"

namespace skarv {

Result<DeviceIndex> index_devices(const Cluster& cluster) {
  SKARV_ASSIGN(std::vector<DeviceInfo> devices, expand_devices(cluster));
  DeviceIndex index;
  for (DeviceInfo& device : devices) index.emplace(device.name, device);
  return index;
}

HostIndex index_hosts(const Cluster& cluster) {
  HostIndex index;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (int i = 0; i < host.count; ++i) {
        index.emplace(cat(site.name, "/", host.name, host.count == 1 ? "" : std::to_string(i)),
                      &host);
      }
    }
  }
  return index;
}

}  // namespace skarv
