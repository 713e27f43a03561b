// What the island's trainer has done since its last delivered contribution, and how far it may go:
// the schedule of snapshots (rule 2) and the limit of training ahead (rule 12). Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "spec/lease.h"
#include "spec/run.h"
#include "wan/round/message.h"

namespace skarv::wan {

class LocalTraining {
 public:
  // Local mode: snapshots fall on multiples of steps_per_round; without overlap nothing is trained
  // between a snapshot and its round. Gradient mode: one each step, and no step beyond it.
  LocalTraining(const Run& run, int64_t max_ahead_steps);

  struct Step {
    int64_t step, tokens;
    std::vector<SampleRange> samples;
  };

  void start_at(int64_t step);
  // The local weights outlived the process, with what they were trained on and did not deliver; the
  // newest snapshot was taken at `snapshot_step`.
  void restore(int64_t snapshot_step, std::deque<Step> undelivered);
  // That snapshot's round is not over.
  void wait_again(int64_t snapshot_step) { waiting_at_ = snapshot_step; }
  // Steps of an island that went back to an earlier state come again with the same samples: they
  // count once.
  void step_done(int64_t step, int64_t tokens, const std::vector<SampleRange>& samples);
  int64_t step() const { return step_; }

  int64_t due_step(int64_t applied_round) const;
  // Steps that may be done before the island has to wait.
  int64_t step_limit(int64_t applied_round) const;

  // Takes tokens, steps and samples up to and with `step` into the contribution.
  void fill(int64_t step, Contribution* contribution) const;
  void snapshot_taken(int64_t step);
  void round_finished() { waiting_at_ = -1; }
  // They were delivered in a committed round.
  void delivered(int64_t step);
  // The local weights were thrown away.
  void reset();

 private:
  const bool exact_, overlaps_;
  const int64_t period_, max_ahead_;
  int64_t step_ = 0, due_, waiting_at_ = -1;
  std::deque<Step> undelivered_;
};

}  // namespace skarv::wan
