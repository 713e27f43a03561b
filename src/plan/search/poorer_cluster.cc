#include "plan/search/poorer_cluster.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

// Every host and every device a group of its own.
Cluster spread(const Cluster& cluster) {
  Cluster result = cluster;
  for (Site& site : result.sites) {
    std::vector<HostGroup> hosts;
    for (const HostGroup& group : site.hosts) {
      for (int number = 0; number < group.count; ++number) {
        HostGroup& host = hosts.emplace_back(group);
        if (group.count > 1) host.name = cat(group.name, number);
        host.count = 1;
        host.devices.clear();
        for (const DeviceGroup& devices : group.devices) {
          DeviceGroup one = devices;
          one.count = 1;
          host.devices.insert(host.devices.end(), devices.count, one);
        }
      }
    }
    site.hosts = std::move(hosts);
  }
  return result;
}

void remove(const std::string& device, PoorerCluster& poorer) {
  const std::vector<std::string> parts = split(device, '/');
  for (Site& site : poorer.cluster.sites) {
    for (HostGroup& host : site.hosts) {
      const std::string prefix = cat(site.name, "/", host.name, "/");
      const bool is_hers = site.name == parts[0] && host.name == parts[1];
      const int gone = is_hers ? std::stoi(parts[2]) : -1;
      int now = 0;
      for (int index = 0; index < static_cast<int>(host.devices.size()); ++index) {
        if (index != gone) poorer.real_names[cat(prefix, now++)] = cat(prefix, index);
      }
      if (is_hers) host.devices.erase(host.devices.begin() + gone);
    }
    std::erase_if(site.hosts, [](const HostGroup& host) { return host.devices.empty(); });
  }
}

}  // namespace

std::vector<PoorerCluster> without_a_device(const World& world, const Cluster& cluster) {
  std::vector<PoorerCluster> result;
  const Cluster all = spread(cluster);
  std::map<std::string, std::vector<size_t>> pools_on_host;  // one for each device
  for (size_t p = 0; p < world.pools().size(); ++p) {
    const Pool& pool = world.pools()[p];
    for (size_t h = 0; h < pool.hosts.size(); ++h) {
      std::vector<size_t>& pools = pools_on_host[pool.host_names[h]];
      pools.insert(pools.end(), pool.hosts[h].size(), p);
    }
  }
  for (const Pool& pool : world.pools()) {
    std::set<std::vector<size_t>> seen;  // hosts with the same devices
    for (int h = pool.num_hosts(); h-- > 0;) {
      if (!seen.insert(pools_on_host[pool.host_names[h]]).second) continue;
      PoorerCluster& poorer = result.emplace_back();
      poorer.cluster = all;
      remove(pool.hosts[h].back(), poorer);
      if (poorer.real_names.empty()) result.pop_back();
    }
  }
  return result;
}

PoorerCluster with_less_memory(const Cluster& cluster, const DeviceIndex& devices) {
  PoorerCluster less{spread(cluster), {}};
  for (Site& site : less.cluster.sites) {
    for (HostGroup& host : site.hosts) {
      for (size_t index = 0; index < host.devices.size(); ++index) {
        const std::string name = cat(site.name, "/", host.name, "/", index);
        host.devices[index].memory_bytes = devices.at(name).memory_bytes * 3 / 4;
        less.real_names[name] = name;
      }
    }
  }
  return less;
}

void rename_devices(const std::map<std::string, std::string>& names, Plan& plan) {
  for (Island& island : plan.islands) {
    for (Pipeline& pipeline : island.pipelines) {
      for (Stage& stage : pipeline.stages) {
        for (std::string& device : stage.devices) device = names.at(device);
      }
    }
  }
  std::map<std::string, double> shares;
  for (const auto& [device, share] : plan.owner_share) shares[names.at(device)] = share;
  plan.owner_share = std::move(shares);
}

}  // namespace skarv
