#include "plan/memory/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/schedule/builder.h"

namespace skarv {
namespace {

// Every layer keeps 1000 bytes a sample and has 300 on top while it computes; borders carry 1024.
Profile profile_with_transients() {
  Profile profile = small_profile({1});
  for (LayerTime& time : profile.layers) time.transient_bytes = 300;
  return profile;
}

struct World {
  skarv::Run run = small_run(4, 4);
  Cluster cluster = cluster_of({{"s", {0, 0}}});
  Profile profile = profile_with_transients();
  Island island;
  SlabTable table{run.model, 1};
  DeviceIndex devices = index_devices(cluster).value();

  explicit World(Island the_island) : island(std::move(the_island)) {}
  Ownership ownership() const { return ownership_of(island, Plan{{}, {island}, {}, {}}, table); }
  std::vector<DeviceMemory> memory() const {
    const Schedule schedule = build_schedule(island, ownership(), table, run).value();
    return estimate_memory(schedule, island, ownership(), table, run, devices, profile).value();
  }
};

TEST(Memory, OneDeviceHoldsOneMicrobatch) {
  const World world({"s", {{1, 4, "1f1b", {{0, 6, {"s/h0/0"}}}}}});
  const DeviceMemory memory = world.memory()[0];
  const int64_t parameters = num_parameters(world.run.model);
  EXPECT_EQ(memory.weights, 4 * parameters);
  EXPECT_EQ(memory.gradients, 4 * parameters);
  EXPECT_EQ(memory.optimizer, 8 * parameters);
  // The head computes last: six layers kept, 300 on top.
  EXPECT_EQ(memory.activations, 6 * 1000 + 300);
  EXPECT_EQ(memory.buffers, 0);
  EXPECT_EQ(memory.reserve, 0);
}

TEST(Memory, StagesHoldWhatIsInFlightAndWhatTheyReceived) {
  World world({"s", {{1, 4, "1f1b", {{0, 3, {"s/h0/0"}}, {3, 6, {"s/h1/0"}}}}}});
  const std::vector<DeviceMemory> memory = world.memory();
  // First stage: two microbatches in flight, the gradient of the first received, its backward runs.
  EXPECT_EQ(memory[0].activations, 2 * 3 * 1000 + 1024 + 300);
  // Second: one in flight with its input; the next input may have come.
  EXPECT_EQ(memory[1].activations, 3 * 1000 + 1024 + 300);
}

TEST(Memory, RecomputationKeepsInputsAndOneBlock) {
  World world({"s", {{1, 4, "1f1b", {{0, 6, {"s/h0/0"}, 1, Recompute::kFull}}}}});
  // Embedding and head as they are, the blocks their inputs; then one block with its activations:
  // the last one, behind which the head's are still there when it computes forward.
  EXPECT_EQ(world.memory()[0].activations, 2 * 1000 + 4 * 1024 + 300);
  for (LayerTime& time : world.profile.layers) {
    if (time.kind == LayerKind::kBlock) time.activation_bytes = 9000;
  }
  EXPECT_EQ(world.memory()[0].activations, 2 * 1000 + 4 * 1024 + (9000 + 300 - 1000));
}

TEST(Memory, WeightHalvesOfZeroBubbleHoldTheirPart) {
  // F0 F1 F2, then B0 B1 B2 and only then the weights: three microbatches to the end.
  World world({"s", {{1, 3, "zero-bubble", {{0, 6, {"s/h0/0"}}}}}});
  const Ownership ownership = world.ownership();
  Schedule schedule = build_schedule(world.island, ownership, world.table, world.run).value();
  std::vector<Action> end;
  for (const Action& action : schedule.actions[0]) {
    if (action.microbatch < 0) end.push_back(action);
  }
  schedule.actions[0].clear();
  for (ActionKind kind :
       {ActionKind::kForward, ActionKind::kBackwardInput, ActionKind::kBackwardWeight}) {
    for (int i = 0; i < 3; ++i) schedule.actions[0].push_back({kind, 0, 0, i});
  }
  schedule.actions[0].insert(schedule.actions[0].end(), end.begin(), end.end());
  const auto memory = estimate_memory(schedule, world.island, ownership, world.table, world.run,
                                      world.devices, world.profile);
  EXPECT_EQ((*memory)[0].activations, 3 * 6000 + 300);
  EXPECT_EQ((*memory)[0].peak_action, 2);
  // Only the head's part goes with the inputs' half.
  const Workload workload = Workload::from_run(world.run, world.profile).value();
  const StageBytes bytes =
      bytes_of_stage(world.island.pipelines[0], 0, false, false, 1, "cpu", workload).value();
  EXPECT_EQ(bytes.kept, 6000);
  EXPECT_EQ(bytes.freed_by_input, 1000);
  world.island.pipelines[0].stages[0].recompute = Recompute::kFull;
  const StageBytes again =
      bytes_of_stage(world.island.pipelines[0], 0, false, false, 1, "cpu", workload).value();
  EXPECT_EQ(again.freed_by_input, 1000 + 4 * (1024 - 1000));
  // What recomputation brings back waits for the weights' halves: three microbatches of it.
  for (LayerTime& time : world.profile.layers) {
    if (time.kind == LayerKind::kBlock) time.activation_bytes = 9000;
  }
  const auto queued = estimate_memory(schedule, world.island, ownership, world.table, world.run,
                                      world.devices, world.profile);
  // The last of them reaches the first block when the other three wait and the head's part is gone:
  // 1000 of the embedding, this block's input, its activations and what it needs on top.
  EXPECT_EQ((*queued)[0].activations, 2 * (1000 + 4 * 9000) + 1000 + 1024 + 4 * 9000 + 300);
  EXPECT_EQ((*queued)[0].peak_action, 5);
}

TEST(Memory, OwnersShareTheOptimizer) {
  const World world(
      {"s", {{1, 2, "1f1b", {{0, 6, {"s/h0/0"}}}}, {1, 2, "1f1b", {{0, 6, {"s/h1/0"}}}}}});
  const std::vector<DeviceMemory> memory = world.memory();
  EXPECT_EQ(memory[0].optimizer + memory[1].optimizer, 8 * num_parameters(world.run.model));
  EXPECT_GT(memory[0].optimizer, 0);
  EXPECT_LT(memory[0].optimizer, 8 * num_parameters(world.run.model));
}

TEST(Memory, AcceleratorsKeepAReserve) {
  World world({"s", {{1, 4, "1f1b", {{0, 6, {"s/h0/0"}}}}}});
  world.cluster = cluster_of({{"s", {0, 0}}}, 1'000'000'000, "h20");
  world.devices = index_devices(world.cluster).value();
  for (LayerTime& time : world.profile.layers) time.chip = "h20";
  const DeviceMemory memory = world.memory()[0];
  EXPECT_EQ(memory.reserve, 40'000'000);
  EXPECT_EQ(memory.total(), memory.allocated() + memory.reserve);
}

}  // namespace
}  // namespace skarv
