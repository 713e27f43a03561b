// A director whose workers and protocol a test plays.
#pragma once

#include <gtest/gtest.h>

#include "director.h"

namespace skarv {

inline constexpr int kWorkers = 2;

inline DirectorSettings local_settings() {
  DirectorSettings settings;
  settings.total_steps = 12;
  settings.last_round = 3;
  settings.steps_per_round = 4;
  settings.overlap_steps = 1;
  settings.samples_per_step = 3;
  settings.num_workers = kWorkers;
  settings.patience = std::chrono::seconds(5);
  return settings;
}

// Merged weights are due at the order that ends with the next snapshot.
inline DirectorSettings longest_overlap() {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = settings.steps_per_round - 1;
  return settings;
}

inline DirectorSettings exact_settings() {
  DirectorSettings settings = local_settings();
  settings.mode = ExchangeMode::kGradient;
  settings.steps_per_round = 1;
  settings.last_round = 12;
  settings.overlap_steps = 0;
  return settings;
}

// Plays the workers: answers an order as they would.
struct Harness {
  explicit Harness(const DirectorSettings& settings) : director(settings) {}

  void collect() {
    while (auto notice = director.take_notice()) {
      if (auto* need = std::get_if<Director::NeedSamples>(&*notice)) {
        director.add_samples({1, ++next_lease, {{next_sample, next_sample + need->count}}});
        next_sample += need->count;
      } else if (auto* ready = std::get_if<Director::SnapshotReady>(&*notice)) {
        snapshots.push_back({ready->round, ready->step});
      } else if (auto* applied = std::get_if<Director::LocalApplied>(&*notice)) {
        applied_tokens.push_back(applied->token);
      } else if (auto* undone = std::get_if<Director::LocalUndone>(&*notice)) {
        undone_tokens.push_back(undone->token);
      } else if (auto* trained = std::get_if<Director::SamplesTrained>(&*notice)) {
        for (const SampleRange& range : trained->samples) used.push_back(range);
      } else if (std::holds_alternative<Director::NeedReset>(*notice)) {
        ++num_resets;
      }
    }
  }
  std::optional<handoff::Step> order() {
    auto step = director.next_order(now);
    collect();
    if (!step) step = director.next_order(now);
    collect();
    return step;
  }
  void answer(const handoff::Step& step) {
    for (int rank = 0; rank < kWorkers; ++rank) {
      if (step.apply) director.heard(rank, handoff::Applied{step.apply->round, step.step});
      if (step.snapshot)
        director.heard(rank, handoff::SnapshotDone{step.snapshot->round, step.step, 0});
      if (step.inner_snapshot >= 0) {
        director.heard(rank, handoff::InnerSnapshotDone{step.step, step.inner_snapshot});
      }
      handoff::StepDone done;
      done.step = step.step;
      director.heard(rank, done);
    }
    collect();
  }
  handoff::Step run_one() {
    const auto step = order();
    EXPECT_TRUE(step.has_value()) << director.waiting_for();
    if (step) answer(*step);
    return step.value_or(handoff::Step{});
  }

  Director director;
  Time now{};
  uint64_t next_sample = 0;
  uint64_t next_lease = 0;
  std::vector<std::pair<int64_t, int64_t>> snapshots;
  std::vector<int64_t> applied_tokens, undone_tokens;
  std::vector<SampleRange> used;
  int num_resets = 0;
};

inline wan::ApplyLocal merged(int64_t token, int64_t round, int64_t not_before) {
  wan::ApplyLocal apply;
  apply.token = token, apply.round = round, apply.not_before_step = not_before;
  return apply;
}

}  // namespace skarv
