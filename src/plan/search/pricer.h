// What an island's step takes, as it is delivered: with the effort that a run's schedules are worth
// and the owners that a run will have. The search ranks its last candidates by this and the figures
// of the answer are this, so that what is judged best is what people get.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "plan/schedule/order_cache.h"
#include "plan/simulate/island_step.h"
#include "spec/slab.h"

namespace skarv {

constexpr size_t kFewDevices = 64;  // an island up to here is priced and shown device by device

class Pricer {
 public:
  // All outlive it. `slabs`: owners of an island of few devices hold what a run will give them;
  // null: shares. `orders` may be null.
  Pricer(const StepWorld& world, const SlabTable* slabs, OrderCache* orders)
      : world_(world), slabs_(slabs), orders_(orders) {}

  const StepWorld& world() const { return world_; }
  const SlabTable* slabs() const { return slabs_; }
  OrderCache* orders() const { return orders_; }

  // Errors as simulate_island's.
  Result<IslandStep> play(const Island& island,
                          const std::map<std::string, double>& owner_share) const;

  // Nothing where the island does not fit, in devices or hosts, cannot run or is not faster. For
  // thousands of neighbours: an island that is far from it by a quick schedule is not played twice.
  // REQUIRES: its hosts' keepers are of this island alone.
  Result<std::optional<int64_t>> faster_than(int64_t ns, const Island& island,
                                             const std::map<std::string, double>& owner_share,
                                             int64_t& num_actions) const;

 private:
  Result<IslandStep> play(const Island& island, const std::map<std::string, double>& owner_share,
                          int64_t effort) const;

  const StepWorld& world_;
  const SlabTable* slabs_;
  OrderCache* orders_;
};

// Whether the error says that a plan cannot run on these devices: too little memory, no link or
// time for what it asks, ranks that wait for each other. Others are nobody's candidate's fault.
bool is_unfit(const Status& status);

// Keepers live in host memory; a host whose memory the cluster file leaves out is not judged.
Status check_keepers(const std::map<std::string, int64_t>& bytes_by_host, const HostIndex& hosts);

}  // namespace skarv
