// The wires between the devices of an island: which a message passes, and which it shares.
//
// Inside a host: the receiver's own. Between hosts: the NICs of both, out and in. Between sites:
// the uplinks of both as well, and the link between them. Devices of different makers, and of
// different sites, meet in host memory: the message is copied there first and from there last, one
// after the other (comm/edges.h does so); a "cpu" device has nothing to copy.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/cost/fold.h"
#include "plan/cost/link_cost.h"
#include "plan/simulate/flow_pool.h"

namespace skarv {

struct Route {
  LinkCost link;
  int64_t copy_ns_per_mib = 0;  // to and from host memory, both ends together
  std::vector<WireUse> wires;

  int64_t copy_ns(int64_t bytes) const { return (bytes * copy_ns_per_mib) >> 20; }
};

// A wire for people: "north/a out", "north-south".
struct Wire {
  std::string name;
  int64_t capacity = 0;  // bytes/s
  int num_like_it = 1;   // hosts of the same colour
};

class Routes {
 public:
  // All outlive it.
  Routes(const Fold& fold, const std::vector<std::string>& devices_of_rank, const Cluster& cluster,
         const DeviceIndex& devices, const HostIndex& hosts, const Profile& links);

  // From one rank of the folded island to another; made once. Error: sites without a link. The
  // answer stays where it is.
  Result<const Route*> find(int from, int to);
  const std::vector<Wire>& wires() const { return wires_; }

 private:
  int wire(const std::string& name, double capacity, int num_like_it);

  const Fold& fold_;
  std::vector<const DeviceInfo*> infos_;  // by rank
  std::vector<int> multiplier_;           // by rank: units of its class
  const Cluster& cluster_;
  const HostIndex& hosts_;
  const Profile& links_;
  std::map<std::pair<int, int>, Route> routes_;
  std::map<std::string, int> wire_of_;
  std::vector<Wire> wires_;
};

}  // namespace skarv
