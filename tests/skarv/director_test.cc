#include "director.h"

#include <gtest/gtest.h>

namespace skarv {
namespace {

using handoff::Step;

constexpr int kWorkers = 2;

DirectorSettings local_settings() {
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

DirectorSettings exact_settings() {
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
  std::optional<Step> order() {
    auto step = director.next_order(now);
    collect();
    if (!step) step = director.next_order(now);
    collect();
    return step;
  }
  void answer(const Step& step) {
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
  Step run_one() {
    const auto step = order();
    EXPECT_TRUE(step.has_value()) << director.waiting_for();
    if (step) answer(*step);
    return step.value_or(Step{});
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

wan::ApplyLocal merged(int64_t token, int64_t round, int64_t not_before) {
  wan::ApplyLocal apply;
  apply.token = token, apply.round = round, apply.not_before_step = not_before;
  return apply;
}

TEST(DirectorTest, SnapshotsAndMergedWeightsFallOnTheirSteps) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(harness.run_one().snapshot.has_value());
  const Step fourth = harness.run_one();
  ASSERT_TRUE(fourth.snapshot.has_value());
  EXPECT_EQ(fourth.inner_snapshot, 1);
  EXPECT_EQ(harness.snapshots, (std::vector<std::pair<int64_t, int64_t>>{{1, 4}}));
  EXPECT_EQ(harness.director.stable().step, 4);

  harness.run_one();  // step 4 covers the transfer
  EXPECT_FALSE(harness.order().has_value()) << "step 5 waits for the merged weights";
  EXPECT_NE(harness.director.waiting_for().find("round 1"), std::string::npos);
  harness.director.apply_local(merged(77, 1, 5));
  const Step sixth = harness.run_one();
  ASSERT_TRUE(sixth.apply.has_value());
  EXPECT_EQ(sixth.step, 5);
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{77});
}

TEST(DirectorTest, TheProtocolHearsOfAStepBeforeItsSnapshot) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 3; ++i) harness.run_one();
  ASSERT_TRUE(harness.order().has_value());
  for (int rank = 0; rank < kWorkers; ++rank) {
    harness.director.heard(rank, handoff::SnapshotDone{1, 3, 0});
  }
  harness.collect();
  EXPECT_TRUE(harness.snapshots.empty()) << "the samples of its last step are not counted yet";
  for (int rank = 0; rank < kWorkers; ++rank) {
    handoff::StepDone done;
    done.step = 3;
    harness.director.heard(rank, done);
  }
  ASSERT_TRUE(std::holds_alternative<Director::SamplesTrained>(*harness.director.take_notice()));
  harness.collect();
  EXPECT_EQ(harness.snapshots.size(), 1u);
}

TEST(DirectorTest, WithoutOverlapABoundaryIsNeverPassed) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 0;
  Harness harness(settings);
  for (int i = 0; i < 3; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value());
  harness.now += 10 * settings.patience;  // a step more, and no snapshot could be taken any more
  EXPECT_FALSE(harness.order().has_value());
  harness.director.take_snapshot({1, 0, 4});
  EXPECT_TRUE(harness.run_one().snapshot.has_value());
}

// An agent dies after any step; what its successor makes of the journal are the very same orders.
TEST(DirectorTest, ASuccessorGoesOnFromTheJournal) {
  const auto drive = [](Harness& harness, int64_t step) {
    // The protocol as it would be without delays: round r is merged while step 4 r runs.
    const int64_t round = step / 4;
    if (step == 0) harness.director.take_snapshot({1, 0, 4});
    if (step % 4 == 1 && round > 0) {
      harness.director.apply_local(merged(round, round, 4 * round + 1));
      harness.director.take_snapshot({round + 1, 0, 4 * (round + 1)});
    }
    return harness.run_one();
  };
  std::vector<Step> whole;
  Harness reference(local_settings());
  for (int64_t step = 0; step < 12; ++step) whole.push_back(drive(reference, step));
  for (int64_t killed = 5; killed < 12; ++killed) {
    Harness first(local_settings());
    for (int64_t step = 0; step < killed; ++step) drive(first, step);
    const auto stable = first.director.stable();
    ASSERT_TRUE(stable.from_inner);
    auto journal = wan::LocalJournal::from_json(first.director.journal().to_json(), "test");
    ASSERT_TRUE(journal.ok()) << journal.status();
    const wan::LocalState local = journal->state();
    EXPECT_EQ(local.step, stable.step);

    Harness second(local_settings());
    second.next_sample = first.next_sample;
    second.director.start_from(stable.parity, *journal);
    // The protocol asks again for a snapshot that it has not got.
    const int64_t next = local.round + 1;
    if (local.snapshot_round < next) second.director.take_snapshot({next, 0, 4 * next});
    for (int64_t step = stable.step; step < 12; ++step) {
      // What the first one knew is in the journal.
      const Step order = step < killed ? second.run_one() : drive(second, step);
      const Step& same = whole[static_cast<size_t>(step)];
      EXPECT_EQ(order.step, same.step);
      EXPECT_EQ(order.samples, same.samples) << "killed after " << killed << ", step " << step;
      EXPECT_EQ(order.apply.has_value(), same.apply.has_value()) << step;
      if (step >= killed) {
        EXPECT_EQ(order.snapshot.has_value(), same.snapshot.has_value()) << step;
      }
    }
  }
}

TEST(DirectorTest, PatienceEndsAndTheLimitHolds) {
  Harness harness(local_settings());
  harness.director.set_limit(8);
  for (int i = 0; i < 3; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value()) << "the round is due and not open";
  harness.now += std::chrono::seconds(6);
  EXPECT_EQ(harness.run_one().step, 3) << "without a coordinator the island trains on";
  for (int step = 4; step < 7; ++step) EXPECT_EQ(harness.run_one().step, step);
  // Round 1 opens late: its snapshot is taken at the next boundary.
  harness.director.take_snapshot({1, 0, 4});
  const Step late = harness.run_one();
  EXPECT_TRUE(late.snapshot.has_value());
  EXPECT_EQ(harness.snapshots.back(), (std::pair<int64_t, int64_t>{1, 8}));
  EXPECT_FALSE(harness.order().has_value()) << "the limit of 8 steps";
}

// Patience is for a round, not for each step without it.
TEST(DirectorTest, WhoHasWaitedLongEnoughForARoundTrainsOn) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 5; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value()) << "step 5 waits for the merged weights";
  harness.now += std::chrono::seconds(6);
  for (int step = 5; step < 7; ++step) EXPECT_EQ(harness.run_one().step, step);
  // They come after all, and the next round opens.
  harness.director.apply_local(merged(77, 1, 5));
  harness.director.take_snapshot({2, 1, 8});
  EXPECT_TRUE(harness.run_one().apply.has_value());
}

// Both sides would wait for each other for ever.
TEST(DirectorTest, ARoundThatOpensAtTheLimitGetsItsSnapshot) {
  Harness harness(local_settings());
  harness.director.set_limit(8);
  for (int i = 0; i < 3; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value());
  harness.now += std::chrono::seconds(6);
  for (int step = 3; step < 8; ++step) EXPECT_EQ(harness.run_one().step, step);
  EXPECT_FALSE(harness.order().has_value()) << "the limit of 8 steps";
  harness.director.take_snapshot({1, 0, 4});
  const Step late = harness.run_one();
  EXPECT_TRUE(late.snapshot.has_value());
  EXPECT_EQ(harness.snapshots.back(), (std::pair<int64_t, int64_t>{1, 9}));
  EXPECT_FALSE(harness.order().has_value()) << "one step more, not two";
}

// The longest overlap: merged weights are taken before the very step that ends with a snapshot.
TEST(DirectorTest, OneOrderTakesMergedWeightsAndTheNextSnapshot) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 3;
  Harness harness(settings);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 7; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value()) << "step 7 waits for the merged weights";
  harness.director.apply_local(merged(77, 1, 7));
  EXPECT_FALSE(harness.order().has_value()) << "and for round 2, which may open now";
  EXPECT_NE(harness.director.waiting_for().find("round 2"), std::string::npos);
  harness.director.take_snapshot({2, 1, 8});
  const Step both = harness.run_one();
  EXPECT_TRUE(both.apply.has_value());
  EXPECT_TRUE(both.snapshot.has_value());
  EXPECT_EQ(harness.snapshots.back(), (std::pair<int64_t, int64_t>{2, 8}));
}

TEST(DirectorTest, NoSnapshotIsTakenBeforeTheMergedWeightsOfTheLastRound) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 3;
  Harness harness(settings);
  for (int i = 0; i < 3; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value());
  harness.now += std::chrono::seconds(6);
  for (int i = 0; i < 2; ++i) harness.run_one();
  harness.director.take_snapshot({1, 0, 4});
  EXPECT_TRUE(harness.run_one().snapshot.has_value()) << "two steps late";
  harness.director.apply_local(merged(77, 1, 9));
  harness.director.take_snapshot({2, 1, 8});
  for (int step = 6; step < 9; ++step) {
    const Step early = harness.run_one();
    EXPECT_FALSE(early.apply || early.snapshot) << step;
  }
  const Step both = harness.run_one();
  EXPECT_TRUE(both.apply && both.snapshot);
}

// The next snapshot, which moves the limit, is only asked for once the merged weights are taken.
TEST(DirectorTest, MergedWeightsThatComeAtTheLimitAreTaken) {
  Harness harness(local_settings());
  harness.director.set_limit(6);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 5; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value()) << "step 5 waits for the merged weights";
  harness.now += std::chrono::seconds(6);
  EXPECT_EQ(harness.run_one().step, 5);
  EXPECT_FALSE(harness.order().has_value()) << "the limit of 6 steps";
  harness.director.apply_local(merged(77, 1, 5));
  EXPECT_TRUE(harness.run_one().apply.has_value());
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{77});
  EXPECT_FALSE(harness.order().has_value()) << "one step more, not two";
}

// With the longest overlap the limit may come before the step at which they are to be taken.
TEST(DirectorTest, MergedWeightsAreTakenAtTheLimitEvenBeforeTheirStep) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 3;
  settings.total_steps = 40;
  settings.last_round = 10;
  Harness harness(settings);
  harness.director.set_limit(12);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 7; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value());
  harness.now += std::chrono::seconds(6);
  for (int i = 7; i < 12; ++i) harness.run_one();
  harness.director.apply_local(merged(1, 1, 7));
  harness.run_one();
  harness.director.take_snapshot({2, 0, 8});
  harness.run_one();
  ASSERT_EQ(harness.snapshots.back().second, 14);
  harness.director.set_limit(16);
  for (int i = 14; i < 16; ++i) harness.run_one();
  harness.director.apply_local(merged(2, 2, 17));
  harness.director.take_snapshot({3, 0, 12});
  EXPECT_TRUE(harness.run_one().apply.has_value());
}

// Without overlap nothing ends the wait for a round that the others have closed meanwhile.
TEST(DirectorTest, MergedWeightsOfTheRoundThatIsWaitedForEndTheWait) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 0;
  Harness harness(settings);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 4; ++i) harness.run_one();
  harness.director.apply_local(merged(1, 1, 4));
  for (int i = 0; i < 3; ++i) harness.run_one();
  EXPECT_FALSE(harness.order().has_value());
  wan::ApplyLocal without = merged(2, 2, 0);
  without.verdict = wan::LocalVerdict::kExcluded;
  harness.director.apply_local(without);
  EXPECT_TRUE(harness.run_one().apply.has_value());
}

TEST(DirectorTest, AStopBeforeTheFirstSnapshotKeepsTheSchedule) {
  DirectorSettings settings = local_settings();
  settings.total_steps = 80;
  settings.last_round = 20;
  Harness harness(settings);
  harness.director.start_from(40, 10);
  harness.director.stop_at_boundary();
  harness.run_one();
  ASSERT_TRUE(harness.director.stopped());
  EXPECT_EQ(harness.director.journal().state().snapshot_step, 40);
  EXPECT_EQ(harness.director.journal().state().snapshot_round, 10);
}

TEST(DirectorTest, WithTheLongestOverlapAStopComesAtTheNextSnapshot) {
  DirectorSettings settings = local_settings();
  settings.overlap_steps = 3;
  Harness harness(settings);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 7; ++i) harness.run_one();
  harness.director.stop_at_boundary();
  harness.director.apply_local(merged(1, 1, 7));
  harness.director.take_snapshot({2, 1, 8});
  harness.run_one();
  ASSERT_TRUE(harness.director.stopped());
  EXPECT_EQ(harness.director.stable().step, 8);
  EXPECT_EQ(harness.snapshots.size(), 1u) << "the next start tells of it";
  EXPECT_EQ(harness.director.journal().state().snapshot_round, 2);
  EXPECT_FALSE(harness.order().has_value());
}

// Killed after the last snapshot, with merged weights that no step takes any more.
TEST(DirectorTest, AtTheEndMergedWeightsOfTheJournalAreAnswered) {
  wan::LocalJournal journal;
  journal.trained(12, 3, {});
  journal.froze(3, 12);
  journal.stable(12);
  wan::ApplyLocal apply = merged(5, 3, 0);
  apply.verdict = wan::LocalVerdict::kExcluded;
  journal.wanted(apply);
  Harness harness(local_settings());
  harness.director.start_from(1, journal);
  harness.collect();
  EXPECT_TRUE(harness.director.finished());
  EXPECT_EQ(harness.applied_tokens.size(), 1u);
}

TEST(DirectorTest, InGradientModeTheLastStepBeforeAStopIsMerged) {
  Harness harness(exact_settings());
  harness.director.stop_at_boundary();
  const auto order = harness.order();
  ASSERT_TRUE(order.has_value());
  for (int rank = 0; rank < kWorkers; ++rank) {
    harness.director.heard(rank, handoff::SnapshotDone{1, 0, 0});
  }
  harness.collect();
  EXPECT_EQ(harness.snapshots.size(), 1u);
  EXPECT_FALSE(harness.director.stopped());
}

// A stop needs an inner snapshot: while a checkpoint reads its side, steps go on.
TEST(DirectorTest, AStopWaitsUntilItsSideIsFree) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 5; ++i) harness.run_one();
  harness.director.apply_local(merged(1, 1, 5));
  harness.run_one();
  harness.director.protect(1 - harness.director.stable().parity);
  harness.director.stop_at_boundary();
  EXPECT_EQ(harness.run_one().inner_snapshot, -1);
  EXPECT_FALSE(harness.director.stopped());
  harness.director.protect(-1);
  harness.director.take_snapshot({2, 1, 8});
  EXPECT_GE(harness.run_one().inner_snapshot, 0);
}

TEST(DirectorTest, AfterAResetTheOpenRoundGetsAnotherSnapshot) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 4; ++i) harness.run_one();
  wan::ApplyLocal reset = merged(9, 0, 0);
  reset.fragment = -1, reset.verdict = wan::LocalVerdict::kReset;
  harness.director.apply_local(reset);
  harness.collect();
  harness.director.reset();
  harness.collect();
  harness.director.take_snapshot({1, 0, 8});
  for (int i = 4; i < 7; ++i) harness.run_one();
  EXPECT_TRUE(harness.run_one().snapshot.has_value());
}

TEST(DirectorTest, AfterALossTheSameOrdersComeAgain) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 4; ++i) harness.run_one();
  std::vector<Step> before;
  before.push_back(harness.run_one());
  harness.director.apply_local(merged(5, 1, 5));
  before.push_back(*harness.order());  // under way when a worker dies
  const auto used_before = harness.used;
  const handoff::Load load = harness.director.roll_back();
  EXPECT_TRUE(load.from_inner);
  EXPECT_EQ(load.step, 4);
  for (const Step& step : before) {
    const Step again = harness.run_one();
    EXPECT_EQ(again.step, step.step);
    EXPECT_EQ(again.samples, step.samples) << "no sample is drawn anew";
    EXPECT_EQ(again.apply.has_value(), step.apply.has_value());
  }
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{5});
  EXPECT_EQ(harness.snapshots.size(), 1u);
}

// While weights that were answered are taken again, the keeper must not go on to the next round.
TEST(DirectorTest, MergedWeightsThatComeAgainAreAnsweredAgain) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 5; ++i) harness.run_one();
  harness.director.apply_local(merged(5, 1, 5));
  harness.run_one();
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{5});
  harness.director.roll_back();
  harness.collect();
  EXPECT_EQ(harness.undone_tokens, std::vector<int64_t>{5});
  for (int i = 0; i < 2; ++i) harness.run_one();
  EXPECT_EQ(harness.applied_tokens, (std::vector<int64_t>{5, 5}));
  EXPECT_EQ(harness.director.steps_done(), 6);
}

// Workers that load the outer weights have what a round without them changed.
TEST(DirectorTest, TheOuterWeightsHaveARoundWithoutTheIslandAlready) {
  for (bool is_ordered : {false, true}) {
    Harness harness(local_settings());
    harness.run_one();
    wan::ApplyLocal without = merged(5, 1, is_ordered ? 0 : 9);
    without.verdict = wan::LocalVerdict::kExcluded;
    harness.director.apply_local(without);
    harness.run_one();
    EXPECT_FALSE(harness.director.roll_back().from_inner);
    harness.collect();
    EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{5});
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(harness.run_one().apply.has_value());
  }
}

TEST(DirectorTest, ALossBeforeTheSnapshotIsWholeRedoesIt) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 3; ++i) harness.run_one();
  const auto fourth = harness.order();
  ASSERT_TRUE(fourth && fourth->snapshot);
  harness.director.heard(0, handoff::SnapshotDone{1, 3, 0});  // rank 1 dies before its part
  const handoff::Load load = harness.director.roll_back();
  EXPECT_FALSE(load.from_inner);
  EXPECT_EQ(load.step, 0);
  for (int i = 0; i < 4; ++i) harness.run_one();
  EXPECT_EQ(harness.snapshots.size(), 1u);
  EXPECT_EQ(harness.director.stable().step, 4);
}

TEST(DirectorTest, ResetForgetsSamplesAndAsksForALoad) {
  Harness harness(local_settings());
  harness.run_one();
  harness.run_one();
  wan::ApplyLocal reset = merged(9, 0, 0);
  reset.fragment = -1, reset.verdict = wan::LocalVerdict::kReset;
  harness.director.apply_local(reset);
  harness.collect();
  EXPECT_EQ(harness.num_resets, 1);
  const handoff::Load load = harness.director.reset();
  harness.collect();
  EXPECT_FALSE(load.from_inner);
  EXPECT_EQ(load.step, 2);
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{9});
  EXPECT_EQ(harness.run_one().step, 2);
}

TEST(DirectorTest, ACheckpointProtectsItsParity) {
  Harness harness(local_settings());
  harness.director.protect(1);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 3; ++i) harness.run_one();
  const Step fourth = harness.run_one();
  EXPECT_TRUE(fourth.snapshot.has_value());
  EXPECT_EQ(fourth.inner_snapshot, -1);
  EXPECT_EQ(harness.director.stable().step, 0);
}

TEST(DirectorTest, ExactModeMergesEveryStepBeforeTheNext) {
  Harness harness(exact_settings());
  for (int64_t step = 0; step < 3; ++step) {
    const auto order = harness.order();
    ASSERT_TRUE(order && order->exchange);
    EXPECT_EQ(order->exchange->round, step + 1);
    for (int rank = 0; rank < kWorkers; ++rank) {
      harness.director.heard(rank, handoff::SnapshotDone{step + 1, step, 0});
    }
    // The offer carries the samples of this very step, though the step ends after the round.
    const auto trained = harness.director.take_notice();
    ASSERT_TRUE(trained && std::holds_alternative<Director::SamplesTrained>(*trained));
    EXPECT_EQ(std::get<Director::SamplesTrained>(*trained).steps_done, step + 1);
    EXPECT_EQ(std::get<Director::SamplesTrained>(*trained).samples.size(), order->samples.size());
    harness.collect();
    EXPECT_FALSE(harness.order().has_value());
    harness.director.apply_local(merged(step, step + 1, 0));
    ASSERT_TRUE(harness.director.take_apply().has_value());
    for (int rank = 0; rank < kWorkers; ++rank) {
      harness.director.heard(rank, handoff::Applied{step + 1, step});
      handoff::StepDone done;
      done.step = step;
      harness.director.heard(rank, done);
    }
    harness.collect();
    EXPECT_EQ(harness.applied_tokens.size(), static_cast<size_t>(step) + 1);
  }
  // A worker dies while a step is being merged: it is computed again, the offer stands.
  const auto order = harness.order();
  for (int rank = 0; rank < kWorkers; ++rank) {
    harness.director.heard(rank, handoff::SnapshotDone{4, 3, 0});
  }
  harness.collect();
  EXPECT_TRUE(harness.director.idle()) << "it waits for its round";
  EXPECT_EQ(harness.director.roll_back().step, 3);
  const auto again = harness.order();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->samples, order->samples);
  EXPECT_EQ(harness.snapshots.size(), 4u);
}

// An island that fetched the state after a round goes on with the next one.
TEST(DirectorTest, AResetInExactModeGoesOnAfterTheRoundItStandsOn) {
  Harness harness(exact_settings());
  ASSERT_TRUE(harness.order().has_value());
  wan::ApplyLocal reset = merged(9, 1, 0);
  reset.fragment = -1, reset.verdict = wan::LocalVerdict::kReset;
  harness.director.apply_local(reset);
  harness.collect();
  EXPECT_EQ(harness.num_resets, 1);
  EXPECT_EQ(harness.director.reset().step, 1);
  const auto order = harness.order();
  ASSERT_TRUE(order && order->exchange);
  EXPECT_EQ(order->exchange->round, 2);
}

TEST(DirectorTest, TheEndNeedsNoStepForTheLastMergedWeights) {
  DirectorSettings settings = local_settings();
  settings.total_steps = 4;
  settings.last_round = 1;
  Harness harness(settings);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 4; ++i) harness.run_one();
  EXPECT_TRUE(harness.director.finished());
  EXPECT_FALSE(harness.order().has_value());
  harness.director.apply_local(merged(3, 1, 5));
  harness.collect();
  EXPECT_EQ(harness.applied_tokens, std::vector<int64_t>{3});
}

TEST(DirectorTest, ALateLastRoundGetsMoreSteps) {
  DirectorSettings settings = local_settings();
  settings.total_steps = 4;
  settings.last_round = 1;
  settings.patience = Duration(0);
  Harness harness(settings);
  for (int i = 0; i < 4; ++i) harness.run_one();
  EXPECT_FALSE(harness.director.finished());
  EXPECT_EQ(harness.run_one().step, 4);
  harness.director.take_snapshot({1, 0, 4});
  EXPECT_TRUE(harness.run_one().snapshot.has_value());
  EXPECT_TRUE(harness.director.finished());
}

TEST(DirectorTest, AStopWaitsForAQuietBoundaryWithAnInnerSnapshot) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 5; ++i) harness.run_one();
  harness.director.stop_at_boundary();
  EXPECT_FALSE(harness.order().has_value());
  harness.director.apply_local(merged(1, 1, 5));
  const Step last = harness.run_one();
  EXPECT_GE(last.inner_snapshot, 0);
  EXPECT_TRUE(harness.director.stopped());
  EXPECT_FALSE(harness.order().has_value());
}

// Peers that stopped before their snapshot send none: what is trained now would be trained again.
TEST(DirectorTest, AStopTrainsNoStepBeyondTheOverlapWhateverThePatience) {
  Harness harness(local_settings());
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 4; ++i) harness.run_one();
  harness.director.stop_at_boundary();
  EXPECT_EQ(harness.run_one().step, 4);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(harness.order().has_value());
    harness.now += std::chrono::seconds(6);
  }
  EXPECT_TRUE(harness.director.idle());
  EXPECT_EQ(harness.director.stable().step, 4);
}

}  // namespace
}  // namespace skarv
