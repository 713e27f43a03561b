// Plans that a person or another planner would make, and small changes to a given one: none may be
// faster than ours.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "spec/plan.h"

namespace skarv {

struct Rival {
  std::string what;
  Plan plan;
};

// For every site an island. Uniform: every tensor and pipeline parallelism, the rest data parallel,
// layers cut evenly, samples even or in proportion to the chips' FLOP/s. Blocks: pipelines through
// all types of a site, V..A..V, layers in proportion. They pass check_plan; not all of them fit in
// memory.
class Rivals {
 public:
  // `run` outlives it.
  Rivals(const Run& run, const Cluster& cluster);
  static int size();
  // Nullopt: there is none of this kind on the cluster.
  std::optional<Rival> make(int index) const;

 private:
  const Run& run_;
  std::vector<DeviceInfo> devices_;
  std::map<std::string, std::vector<const DeviceInfo*>> sites_;
};

// What is left of a plan's islands after a change to it.
struct Change {
  std::vector<std::pair<size_t, Island>> islands;  // index in the plan, and the new one
};
Plan with_change(Plan plan, const Change& change);

// One to three random changes: layers over a border, samples between pipelines, another microbatch,
// schedule or recomputation, two stages' devices swapped, a pipeline left out. The changed plan
// passes check_plan if the plan does. Nullopt: what was drawn made no sense.
std::optional<Change> mutate(const Plan& plan, uint64_t seed);

}  // namespace skarv
