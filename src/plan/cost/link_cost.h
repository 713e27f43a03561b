// Bandwidth and latency between two devices: as measured where the profile has it, else from the
// cluster file and the catalog.
#pragma once

#include "base/status.h"
#include "spec/cluster.h"
#include "spec/profile.h"

namespace skarv {

struct LinkCost {
  double bandwidth = 0;    // bytes/s
  int64_t latency_ns = 0;  // one way

  int64_t transfer_ns(int64_t bytes) const;  // without latency, rounded up
};

// A measure of the two devices counts before one of their hosts ("site/host"), that before one of
// their sites. Between sites the link of the cluster file; error: kNotFound when there is none.
Result<LinkCost> link_cost(const DeviceInfo& a, const DeviceInfo& b, const Cluster& cluster,
                           const Profile& profile);

}  // namespace skarv
