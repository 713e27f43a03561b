// Before a stop.
#include "skarv/director_harness.h"

namespace skarv {
namespace {

using handoff::Step;

TEST(DirectorStopTest, AStopBeforeTheFirstSnapshotKeepsTheSchedule) {
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

TEST(DirectorStopTest, WithTheLongestOverlapAStopComesAtTheNextSnapshot) {
  Harness harness(longest_overlap());
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

TEST(DirectorStopTest, InGradientModeTheLastStepBeforeAStopIsMerged) {
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
TEST(DirectorStopTest, AStopWaitsUntilItsSideIsFree) {
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

TEST(DirectorStopTest, AStopWaitsForAQuietBoundaryWithAnInnerSnapshot) {
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
TEST(DirectorStopTest, AStopTrainsNoStepBeyondTheOverlapWhateverThePatience) {
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
