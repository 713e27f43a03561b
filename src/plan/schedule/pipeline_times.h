// What a pipeline is to those who order its work: integer times, memory, and who computes what.
// Plain data; nothing of models, chips or plans.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace skarv {

// One microbatch in one stage. Memory: `kept_bytes` from the start of its forward; with the
// backward for inputs `freed_by_input` of them go (at its end) or, if negative, as much is added
// (at its start: recomputation keeps for the weights what it makes anew); the rest goes with the
// weights.
struct StageTimes {
  int64_t forward_ns = 0, backward_input_ns = 0, backward_weight_ns = 0;
  int64_t kept_bytes = 0, freed_by_input = 0;

  bool operator==(const StageTimes&) const = default;
  int64_t added_by_input() const { return freed_by_input < 0 ? -freed_by_input : 0; }
  int64_t work_ns() const { return forward_ns + backward_input_ns + backward_weight_ns; }
};

// One way over the border between two stages: messages use the lane one after the other, then fly.
struct LaneTimes {
  int64_t transfer_ns = 0, latency_ns = 0;
  bool operator==(const LaneTimes&) const = default;
  int64_t total_ns() const { return transfer_ns + latency_ns; }
};

struct BorderTimes {
  LaneTimes activation, gradient;
  bool operator==(const BorderTimes&) const = default;
};

struct PipelineTimes {
  std::vector<StageTimes> stages;
  std::vector<BorderTimes> borders;  // borders[s]: from stage s to s + 1; a shared worker pays none
  std::vector<int>
      worker_of_stage;  // counts from 0; stages of one worker share its time and memory
  std::vector<int64_t> memory_bytes;  // limit for activations, by worker
  int num_microbatches = 0;

  bool operator==(const PipelineTimes&) const = default;
  int num_stages() const { return static_cast<int>(stages.size()); }
  int num_workers() const { return static_cast<int>(memory_bytes.size()); }
  bool is_local(int border) const { return worker_of_stage[border] == worker_of_stage[border + 1]; }
  int64_t activation_ns(int border) const {
    return is_local(border) ? 0 : borders[border].activation.total_ns();
  }
  int64_t gradient_ns(int border) const {
    return is_local(border) ? 0 : borders[border].gradient.total_ns();
  }
};

constexpr int64_t kNoMemoryLimit = int64_t{1} << 62;

// Every stage on its own worker, no communication, no limit of memory.
PipelineTimes straight_pipeline(std::vector<StageTimes> stages, int num_microbatches);

// Both halves of a backward as one piece of work, as schedules do that do not split it.
PipelineTimes with_whole_backwards(PipelineTimes times);

// What one microbatch in every stage of a worker needs: the least limit of memory.
int64_t least_memory(const PipelineTimes& times, int worker);

// Sizes that agree, nothing negative, sums that stay in 62 bits, room for one microbatch of every
// stage of a worker. Error: kResourceExhausted for the last, with worker and bytes, else
// kInvalidArgument.
Status check_pipeline_times(const PipelineTimes& times);

}  // namespace skarv
