// One curve: however the layers, the samples and the ownership are laid out, the same numbers. The
// model is that of tiny_run (4 blocks, hidden 32, fp32, AdamW with clipping and warm-up), 12
// samples of 16 tokens a step; every layout runs a random schedule that no builder made.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "device/plugin.h"
#include "island.h"

namespace skarv::train {
namespace {

constexpr int64_t kSteps = 50;

const Curve& reference() {
  static const Curve curve = train(one_device(tiny_run(kSteps)), kSteps);
  return curve;
}

TEST(OneCurve, OneDeviceLearns) {
  EXPECT_NEAR(reference().losses.front(), std::log(96.0), 0.2);
  EXPECT_LT(reference().losses.back(), reference().losses.front() - 1.0);
}

TEST(OneCurve, FourUnevenStages) {
  const IslandSpec spec{
      .run = tiny_run(kSteps),
      .pipelines = {pipeline_of(
          5, 12,
          {{0, 3, "north/a/0"}, {3, 4, "north/a/1"}, {4, 5, "north/a/2"}, {5, 6, "north/a/3"}})}};
  expect_same(train(spec, kSteps), reference());
}

TEST(OneCurve, TwoPipelinesWithUnevenShares) {
  const IslandSpec spec{
      .run = tiny_run(kSteps),
      .pipelines = {pipeline_of(2, 7, {{0, 2, "north/a/0"}, {2, 6, "north/a/1"}}),
                    pipeline_of(1, 5, {{0, 4, "north/a/2"}, {4, 6, "north/a/3"}})},
      .owner_share = {{"north/a/0", 0.0}, {"north/a/3", 2.0}}};
  expect_same(train(spec, kSteps), reference());
}

TEST(OneCurve, TwoSitesOverTcp) {
  const IslandSpec spec{
      .run = tiny_run(kSteps),
      .pipelines = {pipeline_of(3, 8, {{0, 6, "north/a/0"}}),
                    pipeline_of(4, 4, {{0, 2, "south/a/0"}, {2, 6, "south/a/1"}})},
      .transport = "tcp"};
  expect_same(train(spec, kSteps), reference());
}

TEST(OneCurve, InterleavedStagesAndTiedEmbedding) {
  skarv::Run run = tiny_run(kSteps);
  run.model.tied_head = true;
  const Curve expected = train(one_device(run), kSteps);
  const IslandSpec spec{
      .run = run,
      .pipelines = {
          pipeline_of(
              4, 8,
              {{0, 2, "north/a/0"}, {2, 3, "north/a/1"}, {3, 4, "north/a/0"}, {4, 6, "north/a/1"}}),
          pipeline_of(4, 4, {{0, 6, "north/a/2"}})}};
  expect_same(train(spec, kSteps), expected);
}

// bf16 rounds activations and weights to 8 bits: layouts differ by that, never by drift, because
// masters are fp32 and receivers get the owner's bits.
TEST(OneCurve, Bf16WithMasters) {
  skarv::Run run = tiny_run(kSteps);
  run.precision = Precision::kBf16;
  const IslandSpec spec{.run = run,
                        .pipelines = {pipeline_of(6, 6, {{0, 3, "north/a/0"}, {3, 6, "north/a/1"}}),
                                      pipeline_of(6, 6, {{0, 6, "north/a/2"}})}};
  const Curve curve = train(spec, kSteps);
  expect_same(curve, train(one_device(run), kSteps), 0.02, 0.01);
  EXPECT_NEAR(curve.losses.back() / reference().losses.back(), 1.0, 0.03);
}

// The schedule of the test is executed as it stands: order and bytes of every rank.
TEST(OneCurve, WorkersFollowTheSchedule) {
  const IslandSpec spec{
      .run = tiny_run(2),
      .pipelines = {pipeline_of(2, 7, {{0, 2, "north/a/0"}, {2, 6, "north/a/1"}}),
                    pipeline_of(1, 5, {{0, 4, "north/a/2"}, {4, 6, "south/a/3"}})},
      .schedule_seed = 5};
  const Curve curve = train(spec, 2);
  for (size_t rank = 0; rank < curve.records.size(); ++rank) {
    ASSERT_EQ(curve.records[rank].size(), curve.schedule.actions[rank].size());
    for (size_t i = 0; i < curve.records[rank].size(); ++i) {
      EXPECT_EQ(curve.records[rank][i].action, curve.schedule.actions[rank][i]);
      EXPECT_EQ(curve.records[rank][i].bytes, curve.schedule.actions[rank][i].bytes)
          << to_string(curve.schedule.actions[rank][i]);
    }
  }
}

}  // namespace
}  // namespace skarv::train
