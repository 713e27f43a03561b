// After a lost worker, a reset, or a start that goes on.
#include "skarv/director_harness.h"

namespace skarv {
namespace {

using handoff::Step;

// An agent dies after any step; what its successor makes of the journal are the very same orders.
TEST(DirectorRecoveryTest, ASuccessorGoesOnFromTheJournal) {
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

// Killed after the last snapshot, with merged weights that no step takes any more.
TEST(DirectorRecoveryTest, AtTheEndMergedWeightsOfTheJournalAreAnswered) {
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

TEST(DirectorRecoveryTest, AfterAResetTheOpenRoundGetsAnotherSnapshot) {
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

TEST(DirectorRecoveryTest, AfterALossTheSameOrdersComeAgain) {
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
TEST(DirectorRecoveryTest, MergedWeightsThatComeAgainAreAnsweredAgain) {
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
TEST(DirectorRecoveryTest, TheOuterWeightsHaveARoundWithoutTheIslandAlready) {
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

TEST(DirectorRecoveryTest, ALossBeforeTheSnapshotIsWholeRedoesIt) {
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

TEST(DirectorRecoveryTest, ResetForgetsSamplesAndAsksForALoad) {
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

TEST(DirectorRecoveryTest, ACheckpointProtectsItsParity) {
  Harness harness(local_settings());
  harness.director.protect(1);
  harness.director.take_snapshot({1, 0, 4});
  for (int i = 0; i < 3; ++i) harness.run_one();
  const Step fourth = harness.run_one();
  EXPECT_TRUE(fourth.snapshot.has_value());
  EXPECT_EQ(fourth.inner_snapshot, -1);
  EXPECT_EQ(harness.director.stable().step, 0);
}

// An island that fetched the state after a round goes on with the next one.
TEST(DirectorRecoveryTest, AResetInExactModeGoesOnAfterTheRoundItStandsOn) {
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

}  // namespace
}  // namespace skarv
