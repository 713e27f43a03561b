#include "skarv/director_harness.h"

namespace skarv {
namespace {

using handoff::Step;

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
  Harness harness(longest_overlap());
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
  Harness harness(longest_overlap());
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

// The next snapshot, which moves the limit, is only taken after the merged weights.
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
  DirectorSettings settings = longest_overlap();
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

}  // namespace
}  // namespace skarv
