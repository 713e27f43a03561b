// One training step of a framework, played by Skarv's own simulator: the schedule builder's 1F1B
// lists, with the durations, messages and collectives of a measured run.
#pragma once

#include <vector>

#include "plan/simulate/simulate.h"

namespace skarv::accuracy {

// One stage of one replica; its tensor-parallel group acts as one rank.
struct StageTimes {
  int64_t forward_ns = 0, backward_ns = 0;  // one microbatch
  int64_t update_ns = 0;                    // optimizer step of the stage
  // Towards the next stage; the last stage has none.
  LinkCost to_next;
  std::vector<WireUse> forward_wires, backward_wires;
};

struct FrameworkStep {
  std::vector<std::vector<StageTimes>> pipelines;  // by replica, then stage
  int num_microbatches = 1;                        // of each replica
  int64_t message_bytes = 0;                       // activation, or gradient, at a border
  std::vector<int64_t> reduce_ns;                  // by stage: once all replicas are there
  std::vector<Wire> wires;
  // DeepSpeed's order of exchange at a border: a stage takes the gradient of an earlier microbatch
  // before it sends the activation of the next one (deepspeed/runtime/pipe/schedule.py).
  bool gradient_before_activation = false;
  int64_t step_ns = 0;  // fixed cost of a step
};

// Error: what the builder or the simulator refuses.
Result<int64_t> play_step(const FrameworkStep& step);

}  // namespace skarv::accuracy
