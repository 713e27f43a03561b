#include "plan/search/stage_memory.h"

#include <gtest/gtest.h>

#include "plan/search/two_hosts.h"

namespace skarv {
namespace {

// With one microbatch nothing depends on the order, so the search's figure is that of plan/memory,
// whatever is split or computed again.
TEST(StageMemory, IsWhatPlanMemoryCounts) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const TwoHosts two(seed);
    const StepWorld step = two.step_world();
    const World world = two.world();
    const int num_layers = two.num_layers();
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
