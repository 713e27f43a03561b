// Builds an order by playing the step forward in time: whenever a worker is free, a rule picks what
// it does next, or that it waits for a message which it knows to be near.
#pragma once

#include "plan/schedule/play.h"

namespace skarv {

struct GreedyRule {
  // Most microbatches that a stage holds between forward and backward for inputs, by stage;
  // empty: as many as memory takes.
  std::vector<int> depth;
  // Weights are computed in a gap of at least this share of their duration (thousandths): 0 never
  // idles while weights wait, 1000 never lets them delay what is on its way.
  int weight_gap = 0;
  // Forwards before backwards when both could start.
  bool forward_first = false;
  // Whole backwards: weights directly after inputs (1F1B when `depth` says so).
  bool is_fused = false;
  // No backward before the last forward of the stage. REQUIRES: memory for all microbatches.
  bool fills_first = false;
};

// Never beyond a limit of memory, never stuck. Empty as soon as it sees that the step takes it
// `give_up_ns` or longer (0: never); played, an order is a little faster where it waited in vain.
// REQUIRES: check_pipeline_times passed, depth >= 1.
WorkOrder order_greedily(const PipelineTimes& times, const GreedyRule& rule,
                         int64_t give_up_ns = 0);

}  // namespace skarv
