// What an island's step takes, as it is delivered: with the effort that a run's schedules are worth
// and the owners that a run will have. The search ranks its last candidates by this and the figures
// of the answer are this, so that what is judged best is what people get.
#pragma once

#include <limits>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "plan/schedule/order_cache.h"
#include "plan/search/pipeline_use.h"
#include "plan/simulate/island_step.h"
#include "spec/slab.h"

namespace skarv {

constexpr size_t kFewDevices = 64;  // an island up to here is priced and shown device by device
// Large islands in which hardly two devices are alike have steps of more than so many actions, each
// of which takes a quarter of a second and more: after so many in all no more are played than must.
constexpr int64_t kCostlyPlay = 1'000'000, kMostOfCostly = 6'000'000;

// Who owns what in an island, of some that were asked for last: most changes to an island leave it
// as it is.
class KnownOwners {
 public:
  const std::vector<GroupLoad>* find(const std::string& key);
  const std::vector<GroupLoad>& add(std::string key, std::vector<GroupLoad> loads);

 private:
  std::list<std::pair<std::string, std::vector<GroupLoad>>> known_;  // the last one used first
};

// Of one search, in all the clusters that it looks at.
struct PriceBook {
  OrderCache orders;
  KnownOwners owners;
  // What was played, as a measure of effort that no clock disturbs: actions, some for each island,
  // and for the orders that had to be made. About a quarter of a microsecond.
  int64_t num_actions = 0;
  int64_t largest_play = 0;  // actions of one island's step
};

// What is known of an island that is a small change to another one.
struct Neighbour {
  Island new_pipelines;  // those that may take too long by themselves; looked at before all else
  // Of the other one with first orders (Pricer::probe): this one's cannot be much longer if better
  // orders are to make it the faster one. 0: not known.
  int64_t probed_ns = 0;
  WorkEnds ends;  // of pipelines that are the same in both
};

class Pricer {
 public:
  // All outlive it. `slabs`: owners of an island of few devices hold what a run will give them;
  // null: shares.
  Pricer(const StepWorld& world, const SlabTable* slabs, PriceBook& book)
      : world_(world), slabs_(slabs), book_(book) {}

  const StepWorld& world() const { return world_; }
  const SlabTable* slabs() const { return slabs_; }
  PriceBook& book() const { return book_; }

  // Whether to play nothing any more but what must be played.
  bool plays_are_costly() const {
    return world_.devices.size() > kFewDevices && book_.largest_play > kCostlyPlay &&
           book_.num_actions + book_.largest_play > kMostOfCostly;
  }

  // Errors as simulate_island's.
  Result<IslandStep> play(const Island& island,
                          const std::map<std::string, double>& owner_share) const;

  // What its step takes at the least. Errors as simulate_island's.
  Result<int64_t> least(const Island& island,
                        const std::map<std::string, double>& owner_share) const;

  // Nothing where the island does not fit, in devices or hosts, cannot run or is not faster. For
  // thousands of neighbours: most are dismissed by what they take at the least, and no good
  // schedule is made for one that is far from it by a quick one. REQUIRES: its hosts' keepers are
  // of this island alone.
  Result<std::optional<int64_t>> faster_than(int64_t ns, const Island& island,
                                             const std::map<std::string, double>& owner_share,
                                             const Neighbour& neighbour = {}) const;

  // What its pipelines do meanwhile. Errors as simulate_island's.
  Result<std::vector<PipelineUse>> use(const Island& island,
                                       const std::map<std::string, double>& owner_share) const;

  // What it takes with the first orders that come to mind. Errors as simulate_island's.
  Result<int64_t> probe(const Island& island,
                        const std::map<std::string, double>& owner_share) const;

 private:
  std::vector<GroupLoad> loads(const Island& island,
                               const std::map<std::string, double>& owner_share) const;
  OrderOptions order_options(int64_t effort) const;
  Result<IslandStep> played(const Island& island, const std::map<std::string, double>& owner_share,
                            const StepSettings& settings) const;
  void count(const Island& island, int64_t num_actions, int64_t pieces_before) const;

  const StepWorld& world_;
  const SlabTable* slabs_;
  PriceBook& book_;
};

// Whether the error says that a plan cannot run on these devices: too little memory, no link or
// time for what it asks, ranks that wait for each other. Others are nobody's candidate's fault.
bool is_unfit(const Status& status);

// Keepers live in host memory; a host whose memory the cluster file leaves out is not judged.
Status check_keepers(const std::map<std::string, int64_t>& bytes_by_host, const HostIndex& hosts);

}  // namespace skarv
