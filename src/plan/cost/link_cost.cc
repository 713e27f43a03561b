#include "plan/cost/link_cost.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "plan/outer/tcp.h"

namespace skarv {
namespace {

// Where neither file nor profile says anything: 10 Gbit/s Ethernet, and a copy inside a host.
constexpr double kDefaultNetwork = 1.25e9;
constexpr double kDefaultNetworkLatency = 50e-6;
constexpr double kHostLatency = 10e-6;

LinkCost make(double bandwidth, double latency) {
  return LinkCost(bandwidth, std::llround(latency * 1e9));
}

const LinkMeasure* find_measure(const Profile& profile, const std::string& a,
                                const std::string& b) {
  for (const LinkMeasure& link : profile.links) {
    if ((link.from == a && link.to == b) || (link.from == b && link.to == a)) return &link;
  }
  return nullptr;
}

Result<LinkCost> measured_cost(const LinkMeasure& measured) {
  if (measured.points.empty()) return make(measured.bandwidth, measured.latency);
  Result<LinkCost> cost =
      LinkCost::from_points(measured.points, std::llround(measured.latency * 1e9));
  if (!cost.ok()) return cost.status().at(cat("profile, link ", measured.from, " - ", measured.to));
  cost->bandwidth = measured.bandwidth;
  return cost;
}

const HostGroup* find_host(const Cluster& cluster, const DeviceInfo& device) {
  const Site* site = cluster.find_site(device.site);
  if (site == nullptr) return nullptr;
  for (const HostGroup& host : site->hosts) {
    if (host.count == 1 && host.name == device.host) return &host;
    if (host.count == 1 || !device.host.starts_with(host.name)) continue;
    // "a" and a number without leading zeros below the count. Called once a pair of devices.
    int number = -1;
    const char* const end = device.host.data() + device.host.size();
    const auto [rest, error] = std::from_chars(device.host.data() + host.name.size(), end, number);
    const bool is_plain = number == 0 ? device.host.size() == host.name.size() + 1
                                      : device.host[host.name.size()] != '0';
    if (error == std::errc() && rest == end && is_plain && number >= 0 && number < host.count) {
      return &host;
    }
  }
  return nullptr;
}

LinkCost inside_host(const DeviceInfo& a, const DeviceInfo& b) {
  const double slower = std::min(a.chip.link_bandwidth.value, b.chip.link_bandwidth.value);
  // Chips of two makers meet in host memory: two copies one after the other.
  return make(a.chip.maker == b.chip.maker ? slower : slower / 2, kHostLatency);
}

LinkCost inside_site(const DeviceInfo& a, const DeviceInfo& b, const Cluster& cluster) {
  double bandwidth = 0, latency = 0;
  for (const DeviceInfo* device : {&a, &b}) {
    const HostGroup* host = find_host(cluster, *device);
    if (host == nullptr) continue;
    if (host->network_bandwidth > 0) {
      bandwidth =
          bandwidth > 0 ? std::min(bandwidth, host->network_bandwidth) : host->network_bandwidth;
    }
    latency += host->network_latency;
  }
  return make(bandwidth > 0 ? bandwidth : kDefaultNetwork,
              latency > 0 ? latency : kDefaultNetworkLatency);
}

}  // namespace

int64_t LinkCost::transfer_ns(int64_t bytes) const {
  const auto straight = [&](int64_t part) { return static_cast<double>(part) * 1e9 / bandwidth; };
  // A link of next to nothing takes eleven days for anything: sums have to stay in 63 bits.
  const auto whole = [](double ns) { return static_cast<int64_t>(std::ceil(std::min(ns, 1e15))); };
  if (knots_ == nullptr) return whole(straight(bytes));
  const Knot& last = knots_->back();
  if (bytes >= last.bytes) {
    return whole(last.ns + straight(bytes - last.bytes));
  }
  const auto above = std::ranges::upper_bound(*knots_, bytes, {}, &Knot::bytes);
  const auto below = above - 1;  // the first knot is the empty message
  const double part =
      static_cast<double>(bytes - below->bytes) / static_cast<double>(above->bytes - below->bytes);
  return whole(below->ns + part * (above->ns - below->ns));
}

Result<LinkCost> LinkCost::from_points(const std::vector<LinkPoint>& points, int64_t latency_ns) {
  auto knots = std::make_shared<std::vector<Knot>>(1, Knot{0, 0});
  for (const LinkPoint& point : points) {
    const double ns = point.bandwidth > 0
                          ? static_cast<double>(point.bytes) * 1e9 / point.bandwidth -
                                static_cast<double>(latency_ns)
                          : -1;
    if (point.bytes <= knots->back().bytes || ns < knots->back().ns) {
      return config_error(cat("link curve: the point of ", point.bytes, " bytes at ",
                              point.bandwidth, " bytes/s does not follow the one before"))
          .with_hint("points ascend by bytes, and more bytes take more time");
    }
    knots->push_back({point.bytes, ns});
  }
  if (points.empty()) return config_error("link curve: no point");
  LinkCost cost;
  cost.bandwidth = points.back().bandwidth;
  cost.latency_ns = latency_ns;
  cost.knots_ = std::move(knots);
  return cost;
}

Result<LinkCost> link_cost(const DeviceInfo& a, const DeviceInfo& b, const Cluster& cluster,
                           const Profile& profile) {
  const std::string host_a = a.site + "/" + a.host, host_b = b.site + "/" + b.host;
  for (const auto& [from, to] :
       {std::pair(a.name, b.name), std::pair(host_a, host_b), std::pair(a.site, b.site)}) {
    if (from == to && from != host_a) continue;  // a site's link to itself says nothing of hosts
    if (const LinkMeasure* measured = find_measure(profile, from, to)) {
      return measured_cost(*measured);
    }
  }
  if (host_a == host_b) return inside_host(a, b);
  if (a.site == b.site) return inside_site(a, b, cluster);
  const Link* link = cluster.find_link(a.site, b.site);
  if (link == nullptr) {
    return Status(Code::kNotFound, Scope::kConfig,
                  cat("the cluster has no link between ", a.site, " and ", b.site))
        .with_hint("add a [[link]] to the cluster file");
  }
  double bandwidth = link->bandwidth;
  for (const std::string& name : {a.site, b.site}) {
    const double uplink = cluster.find_site(name)->uplink_bandwidth;
    if (uplink > 0) bandwidth = std::min(bandwidth, uplink);
  }
  if (link->loss > 0) {
    // One message uses the two streams of a connection's bulk lane (net/transport.h).
    bandwidth = std::min(bandwidth, tcp_throughput({link->bandwidth, link->round_trip, link->loss,
                                                    2, CongestionControl::kCubic}));
  }
  return make(bandwidth, link->round_trip / 2);
}

}  // namespace skarv
