#include "plan/cost/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "spec/nominal.h"

namespace skarv {
namespace {

TEST(Workload, HasTheSizesOfTheModel) {
  const skarv::Run run = small_run(4);
  const Workload workload = Workload::from_run(run, small_profile({1})).value();
  EXPECT_EQ(workload.num_layers(), 4);
  EXPECT_EQ(workload.tokens_per_sample(), 16);
  EXPECT_EQ(workload.num_parameters(), num_parameters(run.model));
  EXPECT_EQ(workload.size(0).parameters, 64 * 16);
  EXPECT_EQ(workload.size(1).output_bytes, 16 * 16 * 4);
  EXPECT_EQ(workload.size(3).output_bytes, 0);
  EXPECT_EQ(workload.kind(1), workload.kind(2));
}

// Paced workers are charged by NominalTimes, the simulator predicts by Workload: one rule.
TEST(Workload, CostsWhatPacedWorkersAreCharged) {
  const skarv::Run run = small_run(7, 5);
  Profile profile = small_profile({1, 4});
  for (LayerTime& time : profile.layers) {
    time.forward *= 1.0000001234;
    time.backward_input *= 1.01;
    time.backward_weight *= 0.97;
  }
  const Workload workload = Workload::from_run(run, profile).value();
  for (int microbatch : {1, 2, 3, 4, 6}) {
    for (int layer = 0; layer < workload.num_layers(); ++layer) {
      const LayerCost cost = workload.cost("cpu", layer, microbatch, 1).value();
      const LayerTime time =
          layer_time(profile, "cpu", kind_of_layer(run.model, layer), microbatch, 1).value();
      EXPECT_EQ(cost.forward_ns, std::llround(time.forward * 1e9));
      EXPECT_EQ(cost.backward_input_ns, std::llround(time.backward_input * 1e9));
      EXPECT_EQ(cost.backward_weight_ns, std::llround(time.backward_weight * 1e9));
      EXPECT_EQ(cost.update_ns, std::llround(time.update * 1e9));
      EXPECT_EQ(cost.kept_bytes, std::ceil(time.activation_bytes));
    }
  }
}

TEST(Workload, TellsWhatIsMissingAndWhatIsThere) {
  const Workload workload = Workload::from_run(small_run(4), small_profile({1})).value();
  const Status chip = workload.cost("cpv", 0, 1, 1).status();
  EXPECT_EQ(chip.code(), Code::kNotFound);
  EXPECT_THAT(chip.hint(), testing::HasSubstr("the nearest is cpu"));
  const Status degree = workload.cost("cpu", 1, 1, 2).status();
  EXPECT_THAT(degree.message(), testing::HasSubstr("no block of cpu with tensor_parallel 2"));
  EXPECT_THAT(degree.hint(), testing::HasSubstr("it has tensor_parallel 1"));
  EXPECT_TRUE(workload.microbatches("h20", 0, 1).empty());
  EXPECT_THAT(workload.tensor_parallels("cpu"), testing::ElementsAre(1));
}

TEST(Workload, RefusesTheProfileOfAnotherModel) {
  Profile profile = small_profile({1});
  profile.model = digest_of(small_run(4, 3).model).hex();
  EXPECT_EQ(Workload::from_run(small_run(4), profile).status().code(), Code::kInvalidArgument);
}

TEST(Workload, RefusesFiguresBeyondAllMeasure) {
  Profile profile = small_profile({1});
  profile.layers[1].backward_weight = 1e30;
  const Status time = Workload::from_run(small_run(4), profile).status();
  EXPECT_EQ(time.code(), Code::kInvalidArgument);
  EXPECT_THAT(time.message(), testing::HasSubstr("backward_weight of a layer of kind block, cpu"));
  profile = small_profile({1});
  profile.layers[0].activation_bytes = 1e300;
  EXPECT_EQ(Workload::from_run(small_run(4), profile).status().origin(), "profile");
}

TEST(Workload, RefusesBlocksThatTakeNoTime) {
  Profile profile = small_profile({1});
  for (LayerTime& time : profile.layers) {
    time.forward = time.backward_input = time.backward_weight = 0;
    if (time.kind == LayerKind::kBlock) time.forward = 1e-6;
  }
  EXPECT_TRUE(Workload::from_run(small_run(4), profile).ok()) << "a lookup may be that quick";
  for (LayerTime& time : profile.layers) time.forward = 1e-12;
  const Status status = Workload::from_run(small_run(4), profile).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), testing::HasSubstr("a block of cpu, microbatch 1, takes no time"));
}

TEST(Workload, MayBeMadeOfAnyLayers) {
  Workload workload(2048, {{100, 8}, {200, 8}, {50, 0}}, {0, 1, 2});
  for (int kind : {0, 1, 2}) {
    workload.add("t4", kind, 2, {4, 0.4, 0.4, 0.4, 0.1, 400, 4});
    workload.add("t4", kind, 2, {1, 0.1, 0.2, 0.1, 0.1, 100, 1});
  }
  workload.mark_estimated("t4");
  EXPECT_TRUE(workload.is_estimated("t4"));
  EXPECT_FALSE(workload.is_estimated("v100"));
  EXPECT_THAT(workload.microbatches("t4", 1, 2), testing::ElementsAre(1, 4));
  const LayerCost cost = workload.cost("t4", 2, 2, 2).value();
  EXPECT_EQ(cost.forward_ns, 200'000'000);
  EXPECT_EQ(cost.kept_bytes, 200);
  EXPECT_EQ(cost.transient_bytes, 2);
  EXPECT_THAT(workload.cost("t4", 2, 2, 1).status().message(), testing::HasSubstr("layer 2"));
}

}  // namespace
}  // namespace skarv
