// Plans that a person or another planner would make, and small changes to a given one: none may be
// faster than ours.
#pragma once

#include <cstdint>
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
// all types of a site, V..A..V, layers in proportion. Not all of them fit in memory.
std::vector<Rival> rivals_of(const Run& run, const Cluster& cluster);

// One random change: layers over a border, samples between pipelines, another microbatch, schedule
// or recomputation, two stages' devices swapped, a pipeline left out. Nullopt: it made no sense.
std::optional<Plan> mutate(const Plan& plan, uint64_t seed);

}  // namespace skarv
