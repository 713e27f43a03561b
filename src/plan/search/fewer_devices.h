// Clusters with a device less. A search that is not complete may overlook in a larger cluster what
// it finds in a smaller one; looking at both makes more devices never worse.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/search/world.h"
#include "spec/plan.h"

namespace skarv {

struct FewerDevices {
  Cluster cluster;
  std::map<std::string, std::string> real_names;  // of its devices in the whole cluster
};

// One for each pool: without the last device of the pool's last host. None without any device.
std::vector<FewerDevices> without_a_device(const World& world, const Cluster& cluster);

// The plan in the names of the whole cluster.
void rename_devices(const std::map<std::string, std::string>& names, Plan& plan);

}  // namespace skarv
