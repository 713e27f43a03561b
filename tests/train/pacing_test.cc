#include "train/pacing.h"

#include <gtest/gtest.h>

#include "island.h"
#include "spec/ownership.h"

namespace skarv::train {
namespace {

// Two stages, blocks take 10 ms forward and 20 + 15 backward for one sample, the ends nothing;
// updates 4 ms a layer.
class NominalTimesTest : public testing::Test {
 protected:
  NominalTimesTest()
      : plan_(plan_of(spec_)),
        table_(spec_.run.model, 1),
        ownership_(ownership_of(plan_.islands[0], plan_, table_)) {
    for (LayerKind kind : {LayerKind::kEmbedding, LayerKind::kBlock, LayerKind::kHead}) {
      const bool block = kind == LayerKind::kBlock;
      profile_.layers.push_back({.chip = "cpu",
                                 .kind = kind,
                                 .forward = block ? 0.010 : 0,
                                 .backward_input = block ? 0.020 : 0,
                                 .backward_weight = block ? 0.015 : 0,
                                 .update = 0.004});
    }
  }
  Result<NominalTimes> times(const std::string& chip = "cpu") {
    return NominalTimes::create(schedule_of(spec_, plan_).actions[0], plan_.islands[0], ownership_,
                                table_, spec_.run.model, profile_, chip, 0);
  }

  IslandSpec spec_{.run = tiny_run(2),
                   .pipelines = {pipeline_of(5, 12, {{0, 4, "north/a/0"}, {4, 6, "north/a/1"}})}};
  Plan plan_;
  SlabTable table_;
  Ownership ownership_;
  Profile profile_;
};

TEST_F(NominalTimesTest, ChargesComputeByLayersAndSamples) {
  const auto nominal = times();
  ASSERT_TRUE(nominal.ok()) << nominal.status();
  double forward = 0, backward = 0, update = 0;
  const Schedule schedule = schedule_of(spec_, plan_);
  for (const Action& action : schedule.actions[0]) {
    const double seconds = to_seconds(nominal->of(action));
    if (action.kind == ActionKind::kForward) forward += seconds;
    if (action.kind == ActionKind::kUpdate) update += seconds;
    if (action.kind == ActionKind::kBackward || action.kind == ActionKind::kBackwardInput ||
        action.kind == ActionKind::kBackwardWeight) {
      backward += seconds;
    }
    if (action.kind == ActionKind::kSendActivation) EXPECT_EQ(seconds, 0);
  }
  EXPECT_NEAR(forward, 12 * 3 * 0.010, 1e-6);  // 12 samples, 3 blocks
  EXPECT_NEAR(backward, 12 * 3 * 0.035, 1e-6);
  EXPECT_NEAR(update, 4 * 0.004, 1e-6);  // embedding and 3 blocks, all its own
}

TEST_F(NominalTimesTest, RefusesAProfileWithoutTheChip) {
  EXPECT_EQ(times("h20").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace skarv::train
