// The decoder on a plug-in device: ATen operations only, backward in the autograd engine's threads.
#include <gtest/gtest.h>

#include "device/plugin.h"
#include "model/model_fixture.h"

#ifdef SKARV_TOY_PLUGIN
namespace skarv {
namespace {

// The plug-in has to be there before the first backward of the process, whichever test runs it.
class LoadPlugin : public testing::Environment {
 public:
  void SetUp() override {
    const Result<Plugin> plugin = load_plugin(SKARV_TOY_PLUGIN);
    ASSERT_TRUE(plugin.ok()) << plugin.status();
  }
};
const auto* const kLoaded = testing::AddGlobalTestEnvironment(new LoadPlugin);

class OnPlugin : public testing::TestWithParam<std::tuple<Recompute, bool>> {};

TEST_P(OnPlugin, EqualsTheCpu) {
  const auto [recompute, tied] = GetParam();
  Model model = small_model();
  model.tied_head = tied;
  const Sample sample = sample_of(model, 2, model.context, 31);
  Chain host(model, {2}, recompute);
  Chain device(model, {2}, recompute, Precision::kFp32, c10::Device(c10::kPrivateUse1, 0));
  EXPECT_NEAR(device.forward(0, sample) / host.forward(0, sample), 1.0, 1e-5);
  host.backward(0);
  device.backward_input(0);
  device.backward_weight(0);
  const std::vector<at::Tensor> ours = device.gradients(), wanted = host.gradients();
  const auto specs = tensors_of(model);
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_LT(relative_difference(ours[i], wanted[i]), 1e-5) << specs[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Toy, OnPlugin,
                         testing::Combine(testing::Values(Recompute::kNone, Recompute::kFull),
                                          testing::Bool()));

}  // namespace
}  // namespace skarv
#endif  // SKARV_TOY_PLUGIN
