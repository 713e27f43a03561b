// The cluster as the search sees it: identical devices folded into pools, times of layers as prefix
// sums, links between pools. A device is never looked at again until a plan is written down, so a
// search over 16,384 devices of four types costs what one over a few dozen does.
//
// Made once for a search; read-only and safe from any thread after that, except table() and
// known_cuts(), which fill up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/cost/link_cost.h"
#include "plan/cost/workload.h"
#include "plan/search/known_cuts.h"
#include "plan/search/limits.h"
#include "spec/cluster.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

class OrderCache;

// Devices of one site that nothing but their names tells apart, on hosts that are equal too.
struct Pool {
  int site = 0;      // index into World::sites()
  int likeness = 0;  // the same for pools of other sites with equal devices and hosts
  Chip chip;
  double pace = 1;
  int64_t memory = 0, base = 0;  // bytes: usable, and taken by a worker without a model
  int per_host = 1;
  std::vector<std::vector<std::string>> hosts;  // device names, by host
  std::vector<std::string> host_names;          // "site/host"
  int64_t num_barred = 0;                       // hosts at the end that the limits keep out
  int num_idle = 0;                             // devices that are to be left out
  int64_t host_memory = 0;                      // 0: not judged
  int devices_on_host = 0;                      // of all pools

  int num_hosts() const { return static_cast<int>(std::ssize(hosts) - num_barred); }
  int num_devices() const { return per_host * num_hosts(); }
};

// Of one pool at one microbatch and tensor parallelism: sums over layers [0, l).
struct CostTable {
  std::vector<int64_t> forward, backward_input, backward_weight, update;  // ns, pace divided out
  std::vector<int64_t> kept, kept_again;       // bytes; again: with recomputation
  std::vector<int64_t> layer_kept, transient;  // bytes, by layer
};

struct WorldSite {
  std::string name;
  std::vector<int> pools;
  int64_t num_devices = 0;
};

class World {
 public:
  // The workload outlives it. `tied_parameters`: held by the last layer too, counted with the
  // first. Error: a chip without times, with what there is (kNotFound); no devices.
  static Result<World> create(const Workload& workload, const Cluster& cluster,
                              const Profile& profile, Precision precision, int64_t tied_parameters,
                              const PlannerLimits& limits);

  const Workload& workload() const { return *workload_; }
  const PlannerLimits& limits() const { return limits_; }
  int num_layers() const { return workload_->num_layers(); }
  const std::vector<WorldSite>& sites() const { return sites_; }
  const std::vector<Pool>& pools() const { return pools_; }
  const Pool& pool(int index) const { return pools_[index]; }
  int64_t num_devices() const;
  // Sizes that every chip was measured at or lies between measured ones, ascending.
  const std::vector<int>& microbatches() const { return microbatches_; }
  // Ascending; 1 is not always among them.
  const std::vector<int>& tensor_parallels(int pool) const { return tensor_parallels_[pool]; }

  // The same without all other chips.
  World restricted_to(const std::string& chip) const;
  // The same devices with these parts of their memory and of the bandwidth between hosts; measured
  // links stay as they are.
  World lessened(double memory, double bandwidth) const;
  // The same devices, of which so many of that pool are to be left out.
  World with_idle(int pool, int count = 1) const;
  // For a device that needs more than was thought: its pool, and those of equal devices, count as
  // that much smaller.
  void lower_memory(const std::string& device, int64_t bytes);
  void forget_memory();  // no limit any more, of devices or hosts

  // Orders of pipelines that are made again and again; may be null, outlives the world.
  void remember_orders(OrderCache* orders) { orders_ = orders; }
  OrderCache* orders() const { return orders_; }

  bool is_over_budget() const { return limits_.is_over_budget(); }

  // REQUIRES: a tensor parallelism of the pool.
  const CostTable& table(int pool, int microbatch, int tensor_parallel) const;

  // Shared by all copies.
  KnownCuts& known_cuts() const { return *known_cuts_; }

  // Between two devices of these pools on one host, on different hosts. A pair that cannot meet in
  // this way, or sites without a link: bandwidth 0.
  const LinkCost& inside(int a, int b) const { return inside_[a * pools_.size() + b]; }
  const LinkCost& between(int a, int b) const { return between_[a * pools_.size() + b]; }
  bool share_hosts(int a, int b) const { return inside(a, b).bandwidth > 0; }

  // Parameters of layers [0, l).
  const std::vector<int64_t>& parameters() const { return parameters_; }
  int64_t tied_parameters() const { return tied_parameters_; }
  int64_t weight_bytes() const { return weight_bytes_; }                   // a parameter
  int64_t optimizer_bytes() const { return weight_bytes_ == 4 ? 8 : 12; }  // an owned one

 private:
  World(const Workload& workload, const PlannerLimits& limits)
      : workload_(&workload), limits_(limits) {}
  Status fold(const Cluster& cluster, const Profile& profile);
  Status add_degrees();
  void keep_fastest_hosts();
  void add_links(const Cluster& cluster, const Profile& profile);

  const Workload* workload_;
  PlannerLimits limits_;
  OrderCache* orders_ = nullptr;
  int64_t weight_bytes_ = 4, tied_parameters_ = 0;
  std::vector<WorldSite> sites_;
  std::vector<Pool> pools_;
  std::vector<int> microbatches_;
  std::vector<std::vector<int>> tensor_parallels_;
  std::vector<LinkCost> inside_, between_;
  std::vector<int64_t> parameters_;
  // By pool, then by microbatch and tensor parallelism.
  mutable std::vector<std::vector<std::shared_ptr<CostTable>>> tables_;
  std::shared_ptr<KnownCuts> known_cuts_ = std::make_shared<KnownCuts>();
};

// Samples a nanosecond of all devices of the pool, none ever idle.
double ideal_speed(const World& world, int pool);

}  // namespace skarv
