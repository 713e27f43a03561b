// What makes one order better than another, and what no order can beat.
#pragma once

#include "plan/schedule/play.h"

namespace skarv {

// kMakespan: first the makespan, then the longest stage. All ranks wait for each other in the clip
// at the end of a step, so that is what a step takes. kLongestStage: the other way round, for steps
// whose ends may overlap with the next one's beginning.
enum class Objective { kMakespan, kLongestStage };

// Strictly.
bool is_better(const Played& a, const Played& b, Objective objective);

// For every order of this pipeline that keeps microbatches in turn, and keeps within memory.
struct Bounds {
  int64_t work_ns = 0;  // m(F + B + W) of the busiest worker
  int64_t longest_ns = 0, makespan_ns = 0;

  bool are_met_by(const Played& played) const {
    return played.is_valid && played.longest_ns <= longest_ns && played.makespan_ns <= makespan_ns;
  }
};

// Longest paths through what has to come one after the other: messages and their lanes,
// microbatches of a stage in turn, forwards that memory holds back until gradients have returned,
// and the sums of a worker's work before and after each of these. O(p m) for each of at most 32
// stages.
Bounds bounds_of(const PipelineTimes& times);
// Its makespan alone, which is quick: O(p m).
int64_t least_makespan(const PipelineTimes& times);

}  // namespace skarv
