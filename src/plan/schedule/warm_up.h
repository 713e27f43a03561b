// How many microbatches a stage takes in before its first gradient returns.
#pragma once

#include <vector>

#include "plan/schedule/pipeline_times.h"

namespace skarv {

// Enough to bridge the round trip to the end of the pipeline and back, if a forward is begun every
// `interval`: from the slowest forward up to this stage (0: the stages fill at full speed, as
// ZB-2P of 2401.10241 does) to the slowest stage's whole work (1000: the rate of the steady state).
struct WarmUp {
  int interval = 0;           // thousandths of the way between the two
  int stretch = 1000;         // thousandths of the round trip
  int extra = 0;              // more microbatches
  bool is_classical = false;  // num_stages - s (1F1B, 2006.09503) and the extra, whatever the times
};

// By stage, at least 1.
std::vector<int> depths_of(const WarmUp& warm_up, const PipelineTimes& times);

// By stage: from the start of its first forward to the start of its first backward at the
// earliest, when nothing else delays them.
std::vector<int64_t> round_trips(const PipelineTimes& times);

}  // namespace skarv
