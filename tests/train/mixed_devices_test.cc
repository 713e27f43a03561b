// Ranks of different makers in one island: the processor and the toy device, whose memory no other
// code may touch. Reduce groups then go over net, tensors through host memory.
#include <gtest/gtest.h>

#include <cmath>

#include "device/plugin.h"
#include "island.h"

#ifdef SKARV_TOY_PLUGIN
namespace skarv::train {
namespace {

// Loaded before any test: libtorch's autograd engine counts devices at its first backward pass.
class LoadToy : public testing::Environment {
  void SetUp() override {
    const auto plugin = load_plugin(SKARV_TOY_PLUGIN);
    ASSERT_TRUE(plugin.ok()) << plugin.status();
  }
};
[[maybe_unused]] testing::Environment* const toy = testing::AddGlobalTestEnvironment(new LoadToy);

TEST(OneCurve, CpuAndToyMixed) {
  constexpr int64_t kSteps = 20;
  const skarv::Run run = tiny_run(kSteps);
  const Curve expected =
      train({.run = run, .pipelines = {pipeline_of(12, 12, {{0, 6, "north/a/0"}})}}, kSteps);
  const Curve mixed =
      train({.run = run,
             .pipelines = {pipeline_of(3, 7, {{0, 3, "north/a/0"}, {3, 6, "north/a/1"}}),
                           pipeline_of(5, 5, {{0, 6, "north/a/2"}})},
             .makers = {{"north/a/1", "toy"}}},
            kSteps);
  for (int64_t step = 0; step < kSteps; ++step) {
    EXPECT_NEAR(mixed.losses[step] / expected.losses[step], 1, 1e-4) << "step " << step;
  }
  EXPECT_NEAR(mixed.norms[0] / expected.norms[0], 1, 1e-5);
  for (size_t slab = 0; slab < mixed.weights.size(); ++slab) {
    EXPECT_EQ(mixed.weights[slab], mixed.replicas[slab]) << "slab " << slab;
  }
}

}  // namespace
}  // namespace skarv::train
#endif  // SKARV_TOY_PLUGIN
