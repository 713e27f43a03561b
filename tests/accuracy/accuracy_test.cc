// Holds the accuracy sets to their targets. Where a change moves a figure, docs/accuracy.md moves
// too.
#include <gtest/gtest.h>

#include "accuracy/framework_step.h"
#include "accuracy/sets.h"

namespace skarv::accuracy {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(SKARV_SOURCE_DIR) / "bench/validation";

TEST(Accuracy, MixedRtx) {
  const Result<Set> set = mixed_rtx(kFolder);
  ASSERT_TRUE(set.ok()) << set.status();
  const Figures figures = figures_of(*set);
  EXPECT_EQ(figures.count, 7);
  EXPECT_LT(figures.mean, 0.08);
  EXPECT_LT(figures.worst, 0.25);
}

TEST(Accuracy, A100MultiNode) {
  const Result<Set> set = a100_multi_node(kFolder, Constants::built_in());
  ASSERT_TRUE(set.ok()) << set.status();
  const Figures figures = figures_of(*set);
  EXPECT_EQ(figures.count, 34);
  EXPECT_LT(figures.mean, 0.09);
  EXPECT_GT(figures.rank, 0.9);
}

TEST(Accuracy, A100SingleNode) {
  const Result<Set> set = a100_single_node(kFolder, Constants::built_in());
  ASSERT_TRUE(set.ok()) << set.status();
  const Figures figures = figures_of(*set);
  EXPECT_EQ(figures.count, 240);
  EXPECT_LT(figures.median, 0.04);
  EXPECT_LT(figures.mean, 0.08);
  EXPECT_GT(figures.rank, 0.97);
}

TEST(Accuracy, V100AndT4) {
  const Result<Set> set = v100_t4(kFolder, Constants::built_in());
  ASSERT_TRUE(set.ok()) << set.status();
  const Figures figures = figures_of(*set);
  EXPECT_EQ(figures.count, 21);
  EXPECT_EQ(set->rows.size(), 43u);
  EXPECT_LT(figures.median, 0.15);
  EXPECT_GT(figures.rank, 0.75);
}

// Sum of all prices of a set, with one constant of its hardware changed.
using Price = Result<Set> (*)(const std::filesystem::path& folder, const Constants& constants);
double priced_with(Price price, const char* hardware, const char* constant, double value) {
  const std::string file = std::string(SKARV_SOURCE_DIR) + "/src/plan/cost/constants.json";
  Json json = read_json(file).value();
  json[hardware][constant] = value;
  const Set set = price(kFolder, Constants::from_json(json, file).value()).value();
  double sum = 0;
  for (const Row& row : set.rows) sum += row.predicted_s;
  return sum;
}

TEST(Accuracy, HopsAndLaunchesComeFromTheDataFile) {
  EXPECT_GT(priced_with(a100_multi_node, "a100", "hop_us", 500),
            priced_with(a100_multi_node, "a100", "hop_us", 5));
  EXPECT_GT(priced_with(v100_t4, "v100_t4", "hop_us", 5000),
            priced_with(v100_t4, "v100_t4", "hop_us", 50));
  EXPECT_GT(priced_with(v100_t4, "v100_t4", "autograd_fraction", 1),
            priced_with(v100_t4, "v100_t4", "autograd_fraction", 0.5));
}

TEST(Accuracy, AMissingFileIsNamed) {
  const Result<Set> set = v100_t4("no/such/folder", Constants::built_in());
  ASSERT_FALSE(set.ok());
  EXPECT_NE(set.status().to_string().find("v100_t4_layer.csv"), std::string::npos);
}

TEST(Figures, AreOfJudgedRowsAndRankTiesEvenly) {
  Set set{"two ties",
          {{"a", 1, 1.1, true}, {"b", 2, 2, true}, {"c", 2, 3, true}, {"d", 9, 1, false}}};
  const Figures figures = figures_of(set);
  EXPECT_EQ(figures.count, 3);
  EXPECT_NEAR(figures.mean, 0.2, 1e-12);
  EXPECT_NEAR(figures.median, 0.1, 1e-12);
  EXPECT_NEAR(figures.worst, 0.5, 1e-12);
  // Ranks 0, 1.5, 1.5 against 0, 1, 2: sqrt(3)/2.
  EXPECT_NEAR(figures.rank, 0.866025, 1e-6);
}

// Two stages, F 10 and B 20 each, messages of 5 ns, four microbatches.
FrameworkStep two_stages() {
  FrameworkStep step;
  step.num_microbatches = 4;
  step.message_bytes = 5;
  StageTimes stage;
  stage.forward_ns = 10;
  stage.backward_ns = 20;
  stage.to_next = LinkCost(1e9, 0);
  step.pipelines = {{stage, stage}};
  step.reduce_ns = {0, 0};
  return step;
}

TEST(FrameworkStep, PlaysOneForwardOneBackward) {
  // The last stage starts at 15, computes 4 * 30 and waits once, from 75 to 85: the third
  // activation follows on the first backward, 50 to 70. At the end the gradient and the first
  // stage's backward.
  const Result<int64_t> ns = play_step(two_stages());
  ASSERT_TRUE(ns.ok()) << ns.status();
  EXPECT_EQ(*ns, 15 + 120 + 10 + 5 + 20);
}

TEST(FrameworkStep, GradientFirstHoldsTheLastStageUp) {
  // After each backward the last stage waits for its gradient to arrive and for the activation that
  // is sent only then: 10 ns more for each of the second and third microbatch that still follow.
  FrameworkStep step = two_stages();
  step.gradient_before_activation = true;
  const Result<int64_t> ns = play_step(step);
  ASSERT_TRUE(ns.ok()) << ns.status();
  EXPECT_EQ(*ns, 15 + 120 + 3 * 10 + 5 + 20);
}

TEST(FrameworkStep, EndsWithReduceForAllAndUpdate) {
  FrameworkStep step = two_stages();
  step.pipelines.push_back(step.pipelines.front());
  step.pipelines[1][0].backward_ns = 25;  // the slower replica; all wait for it
  step.reduce_ns = {100, 0};
  step.pipelines[0][0].update_ns = 7;
  step.step_ns = 1000;
  const Result<int64_t> alone = play_step({{two_stages().pipelines[0]}, 4, 5, {0, 0}});
  const Result<int64_t> ns = play_step(step);
  ASSERT_TRUE(ns.ok() && alone.ok());
  // 5 ns more for each of the backwards 0, 1 and 3, which all others wait for.
  EXPECT_EQ(*ns, 1000 + *alone + 3 * 5 + 100 + 7);
}

}  // namespace
}  // namespace skarv::accuracy
