// A plan whose islands are changed by way of trial: the simulator is asked, and what is faster is
// kept. Remembers what was tried and what islands look like, so that most of what changes propose
// costs next to nothing.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "plan/search/finalists.h"
#include "plan/search/limits.h"
#include "plan/search/pipeline_use.h"

namespace skarv {

// Islands that were looked at, by a key of all that is changed here, and what they are not faster
// than. Of one world.
using Tried = std::unordered_map<uint64_t, int64_t>;

class Trials {
 public:
  // All outlive it. Time is counted in actions as PriceBook does: at most `most_actions`, of which
  // at most `most_in_vain` one after the other are without any gain; or until the limits' budget is
  // over.
  Trials(const Pricer& pricer, const PlannerLimits& limits, int64_t most_actions,
         int64_t most_in_vain, Tried& tried, PricedPlan& plan);

  // Until then everything else says "no". Nothing has time once something is broken.
  bool has_time();
  const Status& broken() const { return broken_; }
  // Effort that the simulator does not count.
  void count(int64_t num_actions) { pricer_.book().num_actions += num_actions; }

  const DeviceIndex& devices() const { return devices_; }
  const std::vector<Island>& islands() const { return plan_.islands; }
  const std::vector<Pipeline>& pipelines(size_t island) const {
    return plan_.islands[island].pipelines;
  }
  size_t num_stages(size_t island, size_t p) const { return pipelines(island)[p].stages.size(); }
  const std::string& chip_of(const Stage& stage) const {
    return devices_.at(stage.devices[0]).chip.name;
  }
  const std::vector<int64_t>& island_ns() const { return ns_; }
  size_t slowest() const;
  // What an island does is worth a look before its neighbours are played.
  bool is_large(size_t island) const { return islands()[island].devices().size() > kFewDevices; }
  // What the pipelines do. Null: it cannot be played, and something is broken.
  const std::vector<PipelineUse>* use_of(size_t island);
  // The first and the last pipeline of each kind.
  std::vector<size_t> kinds_of(size_t island);
  // The first and the last stage of each row of like ones, which differ in place alone: what a
  // change of one between them does, it does much the same at an end of the row. All of a small
  // island.
  std::vector<size_t> telling_stages(size_t island, size_t p) const;

  // Keeps the changed islands if all are faster now than that one was.
  bool take(size_t mine, std::map<size_t, Island> changed);

  // The island's time falls, or, with another one changed as well, the step's. A change returns
  // whether it makes sense.
  using Change = std::function<bool(Island& mine, Island& other)>;
  bool attempt(size_t mine, size_t other, const Change& change);

  // In all pipelines that are cut like this one, in all that are wholly like it, in this one.
  using PipelineChange = std::function<bool(Pipeline&)>;
  bool attempt_pipelines(size_t island, size_t index, const PipelineChange& change);

 private:
  // By pipeline: numbers of those that are wholly alike, and of those that are cut alike.
  struct Likeness {
    std::vector<size_t> kind, cut;  // the first pipeline of its like
  };

  bool is_hopeless(size_t index, const Island& island, int64_t faster_than);
  WorkEnds ends_of_unchanged(size_t index, const Island& island);
  std::optional<int64_t> play(size_t index, const Island& island, int64_t faster_than);
  int64_t probed_ns(size_t index);
  uint64_t key_of(const Island& island) const;
  Island changed_in(const Island& before, const Island& after) const;
  bool is_alike(const Pipeline& a, const Pipeline& b) const;
  const Likeness& likeness(size_t island);

  const Pricer& pricer_;
  const PlannerLimits& limits_;
  const DeviceIndex& devices_;
  const int64_t last_action_, most_in_vain_;
  int64_t last_gain_;  // when, in actions
  int64_t next_look_;  // at the budget, in actions
  bool is_over_budget_ = false;
  Plan& plan_;
  std::vector<int64_t>& ns_;  // by island
  Tried& tried_;
  std::vector<std::optional<Likeness>> likeness_;             // the same
  std::vector<std::optional<int64_t>> probed_ns_;             // the same
  std::vector<std::optional<std::vector<PipelineUse>>> use_;  // the same
  Status broken_;
};

}  // namespace skarv
