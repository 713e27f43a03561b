#include "plan/search/stage_memory.h"

#include <gtest/gtest.h>

#include "plan/search/exhaustive.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

// With one microbatch nothing depends on the order, so the search's figure is that of plan/memory,
// whatever is split or computed again.
TEST(StageMemory, IsWhatPlanMemoryCounts) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SmallCase small = random_case(seed);
    small.cluster = {};
    small.cluster.sites.push_back({"s", 0, {{"h", 2, 0, 12.5e9, 1e-5, {}}}});
    small.cluster.sites[0].hosts[0].devices.push_back({"h20", 1, 0, 0, ""});
    const Workload workload = Workload::from_run(small.run, small.profile).value();
    const DeviceIndex devices = index_devices(small.cluster).value();
    const HostIndex hosts = index_hosts(small.cluster);
    const StepWorld step{workload, small.cluster, devices, hosts, small.profile, Precision::kFp32};
    const World world =
        World::create(workload, small.cluster, small.profile, Precision::kFp32, 0, {}).value();
    const int num_layers = small.run.model.num_layers();
    for (Flow flow : {Flow::k1f1b, Flow::kZeroBubble}) {
      for (bool again : {false, true}) {
        for (int microbatch : {1, 2}) {
          const Recompute recompute = again ? Recompute::kFull : Recompute::kNone;
          const int cut = 1 + static_cast<int>(seed) % (num_layers - 1);
          const Island island{"i",
                              {{microbatch,
                                microbatch,
                                name_of(flow),
                                {{0, cut, {"s/h0/0"}, 1, recompute},
                                 {cut, num_layers, {"s/h1/0"}, 1, recompute}}}}};
          const IslandStep played = simulate_island(island, {}, step).value();
          for (int s : {0, 1}) {
            const StageShape stage{0, 1, s == 0 ? 0 : cut, s == 0 ? cut : num_layers, again};
            const StagePlace place{s, 2, 1, 1, flow == Flow::kZeroBubble};
            EXPECT_EQ(stage_bytes(world, stage, microbatch, place),
                      played.memory[s].total() - played.memory[s].reserve)
                << "seed " << seed << " " << name_of(flow) << " stage " << s << " again " << again;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace skarv
