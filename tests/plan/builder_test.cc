#include "plan/schedule/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/schedule/order.h"
#include "plan/schedule/random_pipeline.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

// Several pipelines of uneven shares, uneven cuts, shared devices, a tensor-parallel group.
Island mixed_island(const std::string& schedule) {
  Island island{"north", {}};
  island.pipelines.push_back(
      {2, 7, schedule, {{0, 1, {"a"}}, {1, 4, {"b"}}, {4, 6, {"c"}}, {6, 10, {"d"}}}});
  island.pipelines.push_back(
      {1, 5, schedule, {{0, 3, {"e"}}, {3, 5, {"f"}}, {5, 7, {"e"}}, {7, 10, {"f"}}}});
  island.pipelines.push_back({3, 3, schedule, {{0, 10, {"g"}}}});
  island.pipelines.push_back({1, 4, schedule, {{0, 5, {"h", "i"}, 2}, {5, 10, {"j"}}}});
  return island;
}

TEST(Builder, EveryRuleMakesValidSchedules) {
  const skarv::Run run = small_run(19, 8);
  const SlabTable table(run.model, 1);
  for (const OrderRule& rule : order_rules()) {
    const Island island = mixed_island(rule.name);
    const Ownership ownership = ownership_of(island, Plan{}, table);
    const Result<Schedule> schedule = build_schedule(island, ownership, table, run);
    ASSERT_TRUE(schedule.ok()) << schedule.status();
    const Status status = check_schedule(*schedule, island, ownership);
    EXPECT_TRUE(status.ok()) << rule.name << ": " << status;
  }
}

TEST(Builder, BytesAreThoseOfActivationsGradientsAndWeights) {
  skarv::Run run = small_run(3);
  run.precision = Precision::kBf16;
  Island island{"north",
                {
                    {2, 3, "1f1b", {{0, 2, {"a"}}, {2, 4, {"b"}}}},
                }};
  island.pipelines.push_back({2, 1, "1f1b", {{0, 4, {"c"}}}});
  const SlabTable table(run.model, 1);
  const Ownership ownership = ownership_of(island, Plan{}, table);
  const Schedule schedule = build_schedule(island, ownership, table, run).value();
  std::vector<int64_t> sent;
  std::vector<int64_t> reduced(3, 0), gathered(3, 0), owned(3, 0), held(3, 0);
  for (int rank = 0; rank < 3; ++rank) {
    for (const Action& action : schedule.actions[rank]) {
      if (action.kind == ActionKind::kSendActivation) sent.push_back(action.bytes);
      if (action.kind == ActionKind::kReduce) reduced[rank] += action.bytes;
      if (action.kind == ActionKind::kGather) gathered[rank] += action.bytes;
    }
    for (int slab : ownership.slabs_owned_by(rank)) owned[rank] += table[slab].size();
    for (int tensor : ownership.tensors_held[rank]) {
      held[rank] += table.tensors()[tensor].num_elements();
    }
    EXPECT_EQ(reduced[rank], 4 * (held[rank] - owned[rank]));
    EXPECT_EQ(gathered[rank], 2 * owned[rank]);  // every group has two members
  }
  EXPECT_THAT(sent, testing::ElementsAre(1024, 512));  // two samples, then the last one
}

// Unequal times, links and memory, with and without shared devices: what the check, the simulator
// and the workers accept.
TEST(Builder, SchedulesForUnequalStagesAreValid) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    PipelineTimes times = random_pipeline(seed, 8, 12);
    const int num_stages = times.num_stages();
    const int num_workers = seed % 2 == 0 ? num_stages : (num_stages + 1) / 2;
    Island island{"north", {}};
    Pipeline& pipeline = island.pipelines.emplace_back();
    pipeline.samples = times.num_microbatches;
    for (int s = 0; s < num_stages; ++s) {
      times.worker_of_stage[s] = s % num_workers;
      pipeline.stages.push_back({s, s + 1, {cat("d", s % num_workers)}});
    }
    times.memory_bytes.assign(num_workers, 0);
    for (int worker = 0; worker < num_workers; ++worker) {
      times.memory_bytes[worker] = 2 * least_memory(times, worker);
    }
    const skarv::Run run = small_run(pipeline.samples, num_stages - 2);
    const SlabTable table(run.model, 1);
    const Ownership ownership = ownership_of(island, Plan{}, table);
    for (const OrderRule& rule : order_rules()) {
      pipeline.schedule = rule.name;
      const Result<Schedule> schedule = build_schedule(island, ownership, table, run, {times});
      ASSERT_TRUE(schedule.ok()) << schedule.status();
      const Status status = check_schedule(*schedule, island, ownership);
      EXPECT_TRUE(status.ok()) << rule.name << ", seed " << seed << ": " << status;
    }
  }
}

TEST(Builder, UnknownScheduleIsRefusedWithItsPlace) {
  const skarv::Run run = small_run(19, 8);
  const Island island = mixed_island("2f2b");
  const SlabTable table(run.model, 1);
  const Ownership ownership = ownership_of(island, Plan{}, table);
  const Status status = build_schedule(island, ownership, table, run).status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.origin(), "island north, pipelines[0].schedule");
}

}  // namespace
}  // namespace skarv
