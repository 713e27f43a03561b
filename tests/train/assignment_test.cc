#include "train/assignment.h"

#include <gtest/gtest.h>

#include "island.h"

namespace skarv::train {
namespace {

double scale_of(ExchangeMode mode) {
  IslandSpec spec{.run = tiny_run(2), .pipelines = {pipeline_of(4, 12, {{0, 6, "north/a/0"}})}};
  spec.run.exchange.mode = mode;
  const Plan plan = plan_of(spec);
  const auto assignment = Assignment::create(spec.run, plan, Profile{}, schedule_of(spec, plan),
                                             plan.islands.front().name, 0);
  if (!assignment.ok()) {
    ADD_FAILURE() << assignment.status().to_string();
    return 0;
  }
  return (*assignment)->gradient_scale();
}

TEST(Assignment, GradientsAreOfTheMeanOverTheIsland) {
  EXPECT_EQ(scale_of(ExchangeMode::kLocal), 1.0 / (12 * tiny_run(2).model.context));
}

// Whatever an island's share: the keepers divide by the tokens of all.
TEST(Assignment, InGradientModeTheyAreOfTheSum) {
  EXPECT_EQ(scale_of(ExchangeMode::kGradient), 1.0);
}

}  // namespace
}  // namespace skarv::train
