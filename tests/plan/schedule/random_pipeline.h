// Pipelines for tests and benches of orders.
#pragma once

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "plan/schedule/pipeline_times.h"

namespace skarv {

// Whole numbers drawn one after the other.
class Draws {
 public:
  explicit Draws(uint64_t seed) : random_(seed, "pipeline") {}
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_.below(next_++, high - low + 1));
  }

 private:
  CounterRandom random_;
  uint64_t next_ = 0;
};

// Equal stages, cuts that do not quite balance, or speeds of 1 : 0.4 : 0.25 without any balance;
// links free or slow, memory for a few microbatches or for all.
inline PipelineTimes random_pipeline(uint64_t seed, int most_stages, int most_microbatches) {
  Draws draws(seed);
  const auto num_stages = static_cast<int>(draws.between(2, most_stages));
  const auto num_microbatches = static_cast<int>(draws.between(2, most_microbatches));
  const int64_t kind = draws.between(0, 2);
  const int64_t input = draws.between(80, 150), weight = draws.between(50, 120);  // percent
  const int64_t slowness[] = {100, 250, 400};
  // With the backward for inputs: half of the bytes go, none, or half as many are added.
  const int64_t freed = draws.between(-1, 1);
  std::vector<StageTimes> stages;
  for (int s = 0; s < num_stages; ++s) {
    int64_t forward = 10'000;
    if (kind == 1) forward = draws.between(7'000, 13'000);
    if (kind == 2) forward = 100 * slowness[draws.between(0, 2)];
    const int64_t kept = kind == 1 ? draws.between(600, 1400) : 1000;
    stages.push_back(
        {forward, forward * input / 100, forward * weight / 100, kept, freed * kept / 2});
  }
  PipelineTimes times = straight_pipeline(std::move(stages), num_microbatches);
  const int64_t slowest = draws.between(0, 2) * 2'000;
  for (BorderTimes& border : times.borders) {
    border.activation = {draws.between(0, slowest), draws.between(0, slowest)};
    border.gradient = {draws.between(0, slowest), draws.between(0, slowest)};
  }
  const int64_t most = 1000 * draws.between(2, 3 * num_stages);
  for (int s = 0; s < num_stages; ++s) {
    times.memory_bytes[s] = std::max(least_memory(times, s), most - draws.between(0, 900));
  }
  return times;
}

}  // namespace skarv
