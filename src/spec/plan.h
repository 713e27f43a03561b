// The plan (JSON): who computes what. It changes speed only, never the mathematics; it comes from
// the planner or from a person's hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "spec/cluster.h"
#include "spec/model.h"
#include "spec/run.h"

namespace skarv {

enum class Recompute { kNone, kFull };

// Layers [first, last) on a tensor-parallel group of one chip type. A device may stand in several
// stages of its pipeline (interleaving), never in two pipelines.
struct Stage {
  int first = 0, last = 0;
  std::vector<std::string> devices;  // tensor_parallel of them
  int tensor_parallel = 1;
  Recompute recompute = Recompute::kNone;
};

// A chain of stages that covers all layers once.
struct Pipeline {
  int microbatch = 1;   // samples
  int64_t samples = 0;  // of one optimizer step; the last microbatch may be smaller
  std::string schedule = "1f1b";
  std::vector<Stage> stages;

  int num_microbatches() const { return static_cast<int>((samples + microbatch - 1) / microbatch); }
  int microbatch_size(int index) const;  // samples of the index-th
};

struct Island {
  std::string name;
  std::vector<Pipeline> pipelines;

  int64_t samples() const;                   // of one optimizer step
  std::vector<std::string> devices() const;  // each once, pipeline by pipeline, stage by stage
};

struct IdleDevice {
  std::string device, reason;
};

struct Plan {
  Digest model;
  std::vector<Island> islands;
  std::vector<IdleDevice> idle;
  // Shares of slab ownership by device; absent: 1. A device with 0 owns nothing.
  std::map<std::string, double> owner_share;

  const Island* find_island(const std::string& name) const;
  const Island* island_of(const std::string& device) const;
};

// Layers covered once by each pipeline, devices known and used once, samples that add up to the
// global batch, makers not mixed in a tensor-parallel group, plan made for this model. The error
// names the exact place ("islands[0].pipelines[1].stages[2]").
Status check_plan(const Plan& plan, const Model& model, const Run& run, const Cluster& cluster);

// JSON as in docs/design.md, 5: `"replicas": n` and host ranges are expanded on reading.
Json to_json(const Plan& plan);
Result<Plan> plan_from_json(const Json& json, const std::string& origin);
Result<Plan> read_plan(const std::filesystem::path& path);
Digest digest_of(const Plan& plan);

}  // namespace skarv
