#include "plan/search/moves.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "plan/cost/device_index.h"
#include "plan/outer/goodput.h"
#include "plan/search/poorer_cluster.h"
#include "spec/model.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr double kDefaultNetwork = 1.25e9;  // bytes/s; as plan/cost/link_cost.cc

// What a device holds of the model.
struct Held {
  std::set<int> layers;
  int tensor_parallel = 1, member = 0;  // of which part

  bool has_part_of(const Held& other) const {
    return tensor_parallel == other.tensor_parallel && member == other.member;
  }
  auto operator<=>(const Held&) const = default;
};

std::map<std::string, Held> held_by_device(const Plan& plan) {
  std::map<std::string, Held> held;
  for (const Island& island : plan.islands) {
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (size_t i = 0; i < stage.devices.size(); ++i) {
          Held& mine = held[stage.devices[i]];
          mine.tensor_parallel = stage.tensor_parallel;
          mine.member = static_cast<int>(i);
          for (int layer = stage.first; layer < stage.last; ++layer) mine.layers.insert(layer);
        }
      }
    }
  }
  return held;
}

// Bytes/s of the fastest link from a site of the running plan; without any, as a host's network.
double fastest_link(const std::set<std::string>& from, const std::string& to,
                    const Cluster& cluster) {
  double fastest = 0;
  for (const std::string& site : from) {
    const Link* link = cluster.find_link(site, to);
    if (link != nullptr) fastest = std::max(fastest, link->bandwidth);
  }
  return fastest > 0 ? fastest : kDefaultNetwork;
}

bool is_alike(const HostGroup& a, const HostGroup& b) {
  return a.memory_bytes == b.memory_bytes && a.network_bandwidth == b.network_bandwidth &&
         a.network_latency == b.network_latency &&
         std::ranges::equal(a.devices, b.devices,
                            [](const DeviceGroup& one, const DeviceGroup& two) {
                              return one.chip == two.chip && one.count == two.count &&
                                     one.memory_bytes == two.memory_bytes && one.pace == two.pace &&
                                     one.plugin == two.plugin;
                            });
}

// Of a host's devices, in the order of their indices: usable and base bytes, pace.
using Measures = std::map<std::string, std::vector<double>>;

std::map<std::string, Measures> measures_by_host(const Profile& profile) {
  std::map<std::string, Measures> hosts;
  for (const DeviceMeasure& one : profile.devices) {
    const std::string index = one.device.substr(one.device.rfind('/') + 1);
    hosts[host_of(one.device)][index] = {one.usable_bytes, one.base_bytes, one.pace};
  }
  return hosts;
}

// "site/host", of hosts that nothing but their names tells apart.
std::vector<std::vector<std::string>> equal_hosts(const Cluster& cluster, const Profile& profile) {
  struct Kind {
    const HostGroup* group;
    Measures measures;
    std::vector<std::string> names;
  };
  std::set<std::string> has_links;
  for (const LinkMeasure& link : profile.links) {
    for (const std::string& end : {link.from, link.to}) {
      has_links.insert(end);
      has_links.insert(host_of(end));
    }
  }
  std::map<std::string, Measures> measures = measures_by_host(profile);
  std::vector<std::vector<std::string>> result;
  for (const Site& site : cluster.sites) {
    std::vector<Kind> kinds;
    for (const HostGroup& group : site.hosts) {
      for (int number = 0; number < group.count; ++number) {
        const std::string name =
            site.name + "/" + group.name + (group.count == 1 ? "" : std::to_string(number));
        if (has_links.contains(name)) continue;
        const Measures& mine = measures[name];
        auto kind = std::ranges::find_if(kinds, [&](const Kind& known) {
          return is_alike(*known.group, group) && known.measures == mine;
        });
        if (kind == kinds.end()) kind = kinds.insert(kind, {&group, mine, {}});
        kind->names.push_back(name);
      }
    }
    for (Kind& kind : kinds) result.push_back(std::move(kind.names));
  }
  return result;
}

// By device of a host, in the order of their indices.
using HostContent = std::vector<Held>;

std::map<std::string, HostContent> held_by_host(const Plan& plan) {
  std::map<std::string, HostContent> hosts;
  for (auto& [device, held] : held_by_device(plan)) {
    HostContent& content = hosts[host_of(device)];
    const size_t index = std::stoul(device.substr(device.rfind('/') + 1));
    content.resize(std::max(content.size(), index + 1));
    content[index] = std::move(held);
  }
  return hosts;
}

// Layers that stay where they are if a host that holds `has` is to hold `wants`.
int64_t num_kept(const HostContent& has, const HostContent& wants) {
  int64_t kept = 0;
  for (size_t i = 0; i < std::min(has.size(), wants.size()); ++i) {
    if (!has[i].has_part_of(wants[i])) continue;
    kept += std::ranges::count_if(wants[i].layers,
                                  [&](int layer) { return has[i].layers.contains(layer); });
  }
  return kept;
}

// By the name that a host has in the new plan, the one that is to do that: the one that holds most
// of it, equal ones first.
std::map<std::string, std::string> places(const std::vector<std::string>& hosts,
                                          std::map<std::string, HostContent>& before,
                                          std::map<std::string, HostContent>& after) {
  std::map<std::string, std::string> result;
  std::set<std::string> open(hosts.begin(), hosts.end());
  const auto place = [&](const std::string& role, const std::string& host) {
    result[role] = host;
    open.erase(host);
  };
  std::map<HostContent, std::vector<std::string>> by_content;
  for (const std::string& host : hosts) by_content[before[host]].push_back(host);
  std::vector<std::string> rest;
  for (const std::string& role : hosts) {
    std::vector<std::string>& equal = by_content[after[role]];
    const auto same = std::ranges::find(equal, role);
    const auto chosen = same != equal.end() ? same : equal.begin();
    if (chosen == equal.end()) {
      rest.push_back(role);
      continue;
    }
    place(role, *chosen);
    equal.erase(chosen);
  }
  for (const std::string& role : rest) {
    const auto most = std::ranges::max_element(open, {}, [&](const std::string& host) {
      return std::pair(num_kept(before[host], after[role]), host == role);
    });
    place(role, *most);
  }
  return result;
}

}  // namespace

Moves moves_between(const Plan& from, const Plan& to, const Run& run, const Cluster& cluster) {
  Moves result;
  if (digest_of(from) == digest_of(to)) return result;
  std::vector<int64_t> parameters(run.model.num_layers(), 0);
  for (const TensorSpec& tensor : tensors_of(run.model)) {
    parameters[tensor.layer] += tensor.num_elements();
  }
  const int64_t weight = element_bytes(run.precision);
  const int64_t optimizer = weight == 4 ? 8 : 12;
  const std::map<std::string, Held> before = held_by_device(from);
  std::map<std::string, std::set<int>> at_site;
  std::set<std::string> sites;
  for (const auto& [device, held] : before) {
    at_site[site_of(device)].insert(held.layers.begin(), held.layers.end());
    sites.insert(site_of(device));
  }
  std::map<std::string, int64_t> by_host, by_site;
  for (const Island& island : to.islands) {
    std::vector<int64_t> holders(run.model.num_layers(), 0);
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (int layer = stage.first; layer < stage.last; ++layer) {
          holders[layer] += stage.tensor_parallel;
        }
      }
    }
    Plan alone;
    alone.islands = {island};
    for (const auto& [device, held] : held_by_device(alone)) {
      const auto known = before.find(device);
      const bool has_part = known != before.end() && known->second.has_part_of(held);
      for (int layer : held.layers) {
        if (has_part && known->second.layers.contains(layer)) continue;
        const int64_t bytes = parameters[layer] * weight / held.tensor_parallel +
                              parameters[layer] * optimizer / holders[layer];
        result.bytes += bytes;
        by_host[host_of(device)] += bytes;
        if (at_site[site_of(device)].insert(layer).second) {
          by_site[site_of(device)] += parameters[layer] * (weight + optimizer);
        }
      }
    }
  }
  const HostIndex hosts = index_hosts(cluster);
  for (const auto& [name, bytes] : by_host) {
    const auto host = hosts.find(name);
    const double given = host == hosts.end() ? 0 : host->second->network_bandwidth;
    result.seconds = std::max(result.seconds,
                              static_cast<double>(bytes) / (given > 0 ? given : kDefaultNetwork));
  }
  for (const auto& [site, bytes] : by_site) {
    result.seconds =
        std::max(result.seconds, static_cast<double>(bytes) / fastest_link(sites, site, cluster));
  }
  result.seconds += FailureRates{}.restart_seconds;
  return result;
}

void rename_to_stay(const Plan& from, const Cluster& cluster, const Profile& profile, Plan& to) {
  const Result<DeviceIndex> devices = index_devices(cluster);
  if (!devices.ok()) return;  // whoever made the plan has said so
  std::map<std::string, HostContent> before = held_by_host(from), after = held_by_host(to);
  std::map<std::string, std::string> host_names, names;
  for (const std::vector<std::string>& hosts : equal_hosts(cluster, profile)) {
    host_names.merge(places(hosts, before, after));
  }
  for (const auto& [name, device] : *devices) {
    const auto host = host_names.find(host_name(device));
    names[name] = host == host_names.end() ? name : host->second + name.substr(name.rfind('/'));
  }
  rename_devices(names, to);
  for (IdleDevice& idle : to.idle) idle.device = names.at(idle.device);
}

}  // namespace skarv
