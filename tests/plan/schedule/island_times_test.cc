#include "plan/schedule/island_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/schedule/timed_schedule.h"

namespace skarv {
namespace {

constexpr int64_t kMs = 1'000'000;

class IslandTimes : public testing::Test {
 protected:
  Result<std::vector<PipelineTimes>> times(const std::map<std::string, int64_t>& bytes = {}) const {
    return island_times({island, workload, cluster, devices, profile}, bytes);
  }

  skarv::Run run = small_run(8);
  Profile profile = small_profile({1, 2});
  Workload workload = Workload::from_run(run, profile).value();
  // The second device has half the speed.
  Cluster cluster = cluster_of({{"north", {1, 0.5}}});
  DeviceIndex devices = index_devices(cluster).value();
  // Embedding and a block; a block and the head.
  Island island{"north", {{2, 8, "zero-bubble", {{0, 2, {"north/h0/0"}}, {2, 4, {"north/h1/0"}}}}}};
};

TEST_F(IslandTimes, AddUpLayersAndPace) {
  const PipelineTimes pipeline = times().value()[0];
  EXPECT_EQ(pipeline.num_microbatches, 4);
  EXPECT_THAT(pipeline.worker_of_stage, testing::ElementsAre(0, 1));
  EXPECT_EQ(pipeline.stages[0].forward_ns, 22 * kMs);
  EXPECT_EQ(pipeline.stages[0].backward_input_ns, 20 * kMs);
  EXPECT_EQ(pipeline.stages[0].backward_weight_ns, 22 * kMs);
  EXPECT_EQ(pipeline.stages[1].forward_ns, 60 * kMs);
  EXPECT_EQ(pipeline.borders.size(), 1);
  EXPECT_GT(pipeline.borders[0].activation.total_ns(), 0);
}

TEST_F(IslandTimes, RecomputationKeepsLessUntilTheBackward) {
  const StageTimes plain = times().value()[0].stages[1];
  island.pipelines[0].stages[1].recompute = Recompute::kFull;
  const StageTimes again = times().value()[0].stages[1];
  EXPECT_EQ(again.backward_input_ns, plain.backward_input_ns + plain.forward_ns);
  EXPECT_EQ(plain.freed_by_input, 0);
  EXPECT_EQ(again.kept_bytes - again.freed_by_input, std::max(plain.kept_bytes, again.kept_bytes));
}

TEST_F(IslandTimes, MemoryLimitsWhatIsInFlight) {
  const int64_t each = times().value()[0].stages[0].kept_bytes;
  const PipelineTimes tight = times({{"north/h0/0", 2 * each + each / 2}}).value()[0];
  EXPECT_LT(tight.memory_bytes[0], 3 * each);
  EXPECT_GE(tight.memory_bytes[0], each);
  // A little more or less makes no other pipeline, neither does more than all.
  EXPECT_EQ(times({{"north/h0/0", 2 * each + each / 2 + 7}}).value()[0], tight);
  EXPECT_EQ(times({{"north/h0/0", 100 * each}}).value()[0], times().value()[0]);
  // Less than one microbatch needs: planned all the same.
  EXPECT_EQ(times({{"north/h0/0", 1}}).value()[0].memory_bytes[0], each);
}

TEST_F(IslandTimes, TheGradientThatComesHasItsPlaceBesideRecomputedLayers) {
  for (auto& layer : profile.layers) layer.activation_bytes *= 100;  // far above a layer's output
  workload = Workload::from_run(run, profile).value();
  island.pipelines[0].stages = {{0, 3, {"north/h0/0"}}, {3, 4, {"north/h1/0"}}};
  island.pipelines[0].stages[0].recompute = Recompute::kFull;
  const int64_t least = times({{"north/h0/0", 1}}).value()[0].memory_bytes[0];
  const int64_t gradient = workload.size(2).output_bytes * 2;
  EXPECT_LE(times({{"north/h0/0", 3 * least}}).value()[0].memory_bytes[0], 3 * least - gradient);
}

TEST_F(IslandTimes, AnUnknownDeviceIsNamed) {
  island.pipelines[0].stages[1].devices = {"north/h7/0"};
  const Status status = times().status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), testing::HasSubstr("north/h7/0"));
}

TEST_F(IslandTimes, TheTimedScheduleIsValidAndTheSameEveryTime) {
  const SlabTable table(run.model, 1);
  const Ownership ownership = ownership_of(island, Plan{}, table);
  OrderOptions options;
  options.max_pieces = 20'000;
  const auto built = [&] {
    return build_timed_schedule(island, ownership, table, run, cluster, devices, profile, options)
        .value();
  };
  const Schedule schedule = built();
  const Status status = check_schedule(schedule, island, ownership);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(digest_of(schedule), digest_of(built()));
}

}  // namespace
}  // namespace skarv
