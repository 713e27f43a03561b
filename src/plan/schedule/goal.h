// What makes one order better than another, and what no order can beat.
#pragma once

#include <memory>

#include "plan/schedule/play.h"

namespace skarv {

// kMakespan: first the makespan, then the longest stage. All ranks wait for each other in the clip
// at the end of a step, so that is what a step takes. kLongestStage: the other way round, for steps
// whose ends may overlap with the next one's beginning.
enum class Objective { kMakespan, kLongestStage };

// Strictly.
bool is_better(const Played& a, const Played& b, Objective objective);

// For every order of this pipeline that keeps microbatches in turn, and keeps within memory.
//
// Longest paths through what has to come one after the other: messages and their lanes,
// microbatches of a stage in turn, forwards that memory holds back until gradients have returned,
// and the sums of a worker's work before and after each of these. O(p m) for the makespan; the
// longest stage asks for as much for each of at most 32 stages, and only when it is needed.
class Bounds {
 public:
  explicit Bounds(const PipelineTimes& times);
  ~Bounds();

  int64_t work_ns() const { return work_ns_; }  // m(F + B + W) of the busiest worker
  int64_t makespan_ns() const { return makespan_ns_; }
  int64_t longest_ns();
  // By both, that is.
  bool are_met_by(const Played& played);

 private:
  class Relaxed;

  void look_further();

  const std::unique_ptr<Relaxed> relaxed_;
  const int num_stages_;
  const int64_t work_ns_, makespan_ns_;
  int64_t longest_ns_;  // as far as is known
  int next_source_ = 0;
};
}  // namespace skarv
