#include "plan/search/pipeline_clock.h"

#include <gtest/gtest.h>

#include "plan/search/pipeline_use.h"
#include "plan/search/two_hosts.h"

namespace skarv {
namespace {

// One microbatch has one order, so the closed form is the simulator's figure.
TEST(PipelineClock, ALoneMicrobatchTakesWhatTheSimulatorSays) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const TwoHosts two(seed);
    const StepWorld step = two.step_world();
    const World world = two.world();
    const int num_layers = two.num_layers();
    for (Flow flow : {Flow::k1f1b, Flow::kZeroBubble}) {
      for (int cut = 1; cut < num_layers; ++cut) {
        const Island island{
            "i", {{2, 2, name_of(flow), {{0, cut, {"s/h0/0"}}, {cut, num_layers, {"s/h1/0"}}}}}};
        PipelineGroup group;
        group.pipeline = {{{0, 1, 0, cut}, {0, 1, cut, num_layers}}, 2, flow};
        const int64_t played = use_of(island, simulate_island(island, {}, step).value())[0].end_ns;
        EXPECT_NEAR(PipelineClock(world, group).time_ns(2), played, 10)
            << "seed " << seed << " " << name_of(flow) << " cut at " << cut;
        EXPECT_EQ(PipelineClock(world, group).samples_within(played + 10, 2), 2);
        EXPECT_LT(PipelineClock(world, group).samples_within(played - 10, 2), 2);
      }
    }
  }
}

}  // namespace
}  // namespace skarv
