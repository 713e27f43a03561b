// Devices of different makers, and of different sites, meet in host memory (comm/edges.h).
#pragma once

#include <cmath>

#include "plan/cost/device_index.h"

namespace skarv {

// A copy between device and host memory: PCIe 4.0 x16, about 24 of its 31.5 GB/s.
constexpr double kHostCopyBandwidth = 24e9;

// Of a message from `a` to `b`: to host memory first and from there last, one after the other. A
// "cpu" device has nothing to copy; inside a host the link's bandwidth has the copies in it.
inline int64_t host_copy_ns_per_mib(const DeviceInfo& a, const DeviceInfo& b) {
  if (a.chip.maker == b.chip.maker && a.site == b.site) return 0;
  if (host_name(a) == host_name(b)) return 0;
  const int64_t each = std::llround((1 << 20) * 1e9 / kHostCopyBandwidth);
  return (a.chip.maker == "cpu" ? 0 : each) + (b.chip.maker == "cpu" ? 0 : each);
}

}  // namespace skarv
