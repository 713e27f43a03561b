#include "wan/round/local_training.h"

#include <algorithm>

namespace skarv::wan {

LocalTraining::LocalTraining(const Run& run, int64_t max_ahead_steps)
    : exact_(run.exchange.mode == ExchangeMode::kGradient),
      overlaps_(run.exchange.overlap_steps > 0),
      period_(std::max<int64_t>(1, run.steps_per_round())),
      max_ahead_(max_ahead_steps > 0 ? max_ahead_steps : period_),
      due_(period_) {}

void LocalTraining::start_at(int64_t step) {
  step_ = step;
  due_ = (step / period_ + 1) * period_;
}

void LocalTraining::restore(int64_t snapshot_step, std::deque<Step> undelivered) {
  undelivered_ = std::move(undelivered);
  step_ = std::max(step_, snapshot_step);
  if (!undelivered_.empty()) step_ = std::max(step_, undelivered_.back().step);
  due_ = (snapshot_step / period_ + 1) * period_;
}

void LocalTraining::step_done(int64_t step, int64_t tokens,
                              const std::vector<SampleRange>& samples) {
  if (step <= step_) return;
  step_ = step;
  undelivered_.push_back({step, tokens, samples});
}

int64_t LocalTraining::due_step(int64_t applied_round) const {
  return exact_ ? applied_round + 1 : due_;
}

int64_t LocalTraining::step_limit(int64_t applied_round) const {
  if (exact_) return applied_round + 1;
  if (!overlaps_) return waiting_at_ >= 0 ? waiting_at_ : due_;
  return due_ + max_ahead_;
}

void LocalTraining::fill(int64_t step, Contribution* contribution) const {
  contribution->tokens = contribution->steps = 0;
  SampleSet samples;
  for (const Step& done : undelivered_) {
    if (done.step > step) break;
    contribution->tokens += done.tokens;
    ++contribution->steps;
    for (const SampleRange& range : done.samples) {
      if (range.begin < range.end && !samples.overlaps(range)) samples.add(range);
    }
  }
  contribution->samples = samples.ranges();
}

void LocalTraining::snapshot_taken(int64_t step) {
  due_ += period_;
  waiting_at_ = step;
}

void LocalTraining::delivered(int64_t step) {
  while (!undelivered_.empty() && undelivered_.front().step <= step) undelivered_.pop_front();
}

void LocalTraining::reset() {
  undelivered_.clear();
  waiting_at_ = -1;
  due_ = (step_ / period_ + 1) * period_;
}

}  // namespace skarv::wan
