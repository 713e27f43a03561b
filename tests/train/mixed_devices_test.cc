// Ranks of different makers in one island: the processor and the toy device, whose memory no other
// code may touch. Reduce groups then go over net, tensors through host memory.
#include <gtest/gtest.h>

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
  constexpr int64_t kSteps = 50;
  const skarv::Run run = tiny_run(kSteps);
  const IslandSpec mixed{
      .run = run,
      .pipelines = {pipeline_of(3, 7, {{0, 3, "north/a/0"}, {3, 6, "north/a/1"}}),
                    pipeline_of(5, 5, {{0, 6, "north/a/2"}})},
      .makers = {{"north/a/1", "toy"}}};
  expect_same(train(mixed, kSteps), train(one_device(run), kSteps));
}

}  // namespace
}  // namespace skarv::train
#endif  // SKARV_TOY_PLUGIN
