#include "spec/cluster.h"

#include <map>

#include "base/text.h"

namespace skarv {

int64_t Cluster::num_devices() const {
  int64_t total = 0;
  for (const Site& site : sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) total += int64_t{host.count} * group.count;
    }
  }
  return total;
}

const Site* Cluster::find_site(const std::string& name) const {
  for (const Site& site : sites) {
    if (site.name == name) return &site;
  }
  return nullptr;
}

const Link* Cluster::find_link(const std::string& a, const std::string& b) const {
  for (const Link& link : links) {
    if ((link.from == a && link.to == b) || (link.from == b && link.to == a)) return &link;
  }
  return nullptr;
}

Result<std::vector<DeviceInfo>> expand_devices(const Cluster& cluster) {
  std::vector<DeviceInfo> devices;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (int number = 0; number < host.count; ++number) {
        const std::string name = host.count == 1 ? host.name : cat(host.name, number);
        int index = 0;
        std::map<std::string, int> ordinals;  // by what libtorch calls the device
        for (const DeviceGroup& group : host.devices) {
          SKARV_ASSIGN(const Chip chip, find_chip(group.chip));
          const int64_t memory = group.memory_bytes > 0
                                     ? group.memory_bytes
                                     : static_cast<int64_t>(chip.memory_bytes.value);
          for (int i = 0; i < group.count; ++i, ++index) {
            const std::string& kind = group.plugin.empty() ? chip.maker : group.plugin;
            devices.push_back({cat(site.name, "/", name, "/", index), site.name, name, index,
                               ordinals[kind]++, chip, memory, group.pace, group.plugin});
          }
        }
      }
    }
  }
  return devices;
}

}  // namespace skarv
