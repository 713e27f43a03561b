// How fast a site reaches the others: the share of merging that its island gets in a run, and that
// the planner and the simulator price.
#pragma once

#include <string>

#include "spec/cluster.h"

namespace skarv {

// Bytes per second: what the cluster file says of the site, else its fastest link; 1 where neither
// is known.
double uplink_of(const Cluster& cluster, const std::string& site);

}  // namespace skarv
