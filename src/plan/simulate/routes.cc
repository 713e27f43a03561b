#include "plan/simulate/routes.h"

#include <algorithm>

#include "base/text.h"
#include "plan/cost/host_copy.h"
#include "spec/stage_map.h"

namespace skarv {

Routes::Routes(const Fold& fold, const std::vector<std::string>& devices_of_rank,
               const Cluster& cluster, const DeviceIndex& devices, const HostIndex& hosts,
               const Profile& links)
    : fold_(fold), cluster_(cluster), hosts_(hosts), links_(links) {
  for (const std::string& name : devices_of_rank) infos_.push_back(&devices.at(name));
  multiplier_.assign(infos_.size(), 1);
  const StageMap map(fold.island);
  for (size_t rank = 0; rank < infos_.size(); ++rank) {
    const std::vector<StageMap::Seat>& seats = map.seats_of(static_cast<int>(rank));
    if (!seats.empty()) multiplier_[rank] = fold.multiplier[seats.front().pipeline];
  }
}

int Routes::wire(const std::string& name, double capacity, int num_like_it) {
  const auto [entry, is_new] = wire_of_.emplace(name, static_cast<int>(wires_.size()));
  if (is_new) wires_.push_back({name, 1, num_like_it});
  Wire& wire = wires_[entry->second];
  // A link measured to be faster than what the cluster file says of the wire wins.
  const double most = 4e18;
  wire.capacity = std::max(wire.capacity, static_cast<int64_t>(std::min(capacity, most)));
  return entry->second;
}

Result<const Route*> Routes::find(int from, int to) {
  const auto known = routes_.find({from, to});
  if (known != routes_.end()) return &known->second;
  const DeviceInfo &a = *infos_[from], &b = *infos_[to];
  Route route;
  SKARV_ASSIGN(route.link, link_cost(a, b, cluster_, links_));
  const double own = route.link.bandwidth;
  const std::string host_a = host_name(a), host_b = host_name(b);
  route.copy_ns_per_mib = host_copy_ns_per_mib(a, b);
  if (host_a == host_b) {
    route.wires.push_back({wire(b.name + " in", own, 1), 1});
  } else {
    const auto nic = [&](int rank, const DeviceInfo& device, const char* way) {
      const auto host = hosts_.find(host_name(device));
      const double given = host == hosts_.end() ? 0 : host->second->network_bandwidth;
      const int color = fold_.host_color[rank];
      const int count = fold_.multiplier.empty() ? 1 : multiplier_[rank] / fold_.on_host[rank];
      const std::string name = cat(host_name(device), " ", way);
      // Hosts of one colour are one wire, named by the first that is met.
      const std::string first = cat("color ", color, " ", way);
      const auto alias = wire_of_.find(first);
      const int index =
          alias != wire_of_.end() ? alias->second : wire(name, std::max(given, own), count);
      wire_of_.emplace(first, index);
      wires_[index].capacity =
          std::max(wires_[index].capacity, static_cast<int64_t>(std::min(own, 4e18)));
      route.wires.push_back({index, fold_.on_host[rank]});
    };
    nic(from, a, "out");
    nic(to, b, "in");
  }
  if (a.site != b.site) {
    const auto uplink = [&](const DeviceInfo& device, const char* way) {
      const Site* site = cluster_.find_site(device.site);
      if (site == nullptr || site->uplink_bandwidth <= 0) return;
      route.wires.push_back(
          {wire(cat(device.site, " uplink ", way), site->uplink_bandwidth, 1), multiplier_[from]});
    };
    uplink(a, "out");
    uplink(b, "in");
    const Link* link = cluster_.find_link(a.site, b.site);
    const double given = link == nullptr ? 0 : link->bandwidth;
    route.wires.push_back(
        {wire(cat(a.site, " to ", b.site), std::max(given, own), 1), multiplier_[from]});
  }
  return &routes_.emplace(std::pair(from, to), std::move(route)).first->second;
}

}  // namespace skarv
