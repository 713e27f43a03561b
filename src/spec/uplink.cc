#include "spec/uplink.h"

#include <algorithm>

namespace skarv {

double uplink_of(const Cluster& cluster, const std::string& site) {
  const Site* known = cluster.find_site(site);
  if (known != nullptr && known->uplink_bandwidth > 0) return known->uplink_bandwidth;
  double fastest = 0;
  for (const Link& link : cluster.links) {
    if (link.from == site || link.to == site) fastest = std::max(fastest, link.bandwidth);
  }
  return fastest > 0 ? fastest : 1;
}

}  // namespace skarv
