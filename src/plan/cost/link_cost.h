// Bandwidth and latency between two devices: as measured where the profile has it, else from the
// cluster file and the catalog.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "spec/cluster.h"
#include "spec/profile.h"

namespace skarv {

// What a message costs on a link: latency + bytes / bandwidth, or by measured points. Copies share
// the points.
struct LinkCost {
  double bandwidth = 0;    // bytes/s of a message without end
  int64_t latency_ns = 0;  // one way, of an empty message

  LinkCost() = default;
  LinkCost(double bandwidth, int64_t latency_ns) : bandwidth(bandwidth), latency_ns(latency_ns) {}
  // Without latency, rounded up. With points: linear in the bytes between two of them and down to
  // an empty message; beyond the last at its bandwidth.
  int64_t transfer_ns(int64_t bytes) const;

  // Points ascending by bytes. Their times have to grow with the bytes; error: kInvalidArgument
  // with the point that does not. `latency_ns` is taken out of each time.
  static Result<LinkCost> from_points(const std::vector<LinkPoint>& points, int64_t latency_ns);

 private:
  struct Knot {
    int64_t bytes;
    double ns;
  };
  std::shared_ptr<const std::vector<Knot>> knots_;  // null: the straight line
};

// A measure of the two devices counts before one of their hosts ("site/host"), that before one of
// their sites. Between sites the link of the cluster file; error: kNotFound when there is none.
Result<LinkCost> link_cost(const DeviceInfo& a, const DeviceInfo& b, const Cluster& cluster,
                           const Profile& profile);

}  // namespace skarv
