// The toy device in a test: loaded once a process, before anything that could run a backward pass.
#pragma once

#include <ATen/core/Tensor.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "device/plugin.h"

namespace skarv {

class ToyTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<Plugin> plugin = load_plugin(SKARV_TOY_PLUGIN);
    ASSERT_TRUE(plugin.ok()) << plugin.status();
  }

  static at::Tensor on_toy(const at::Tensor& tensor, int device = 0) {
    return tensor.to(at::Device(at::kPrivateUse1, static_cast<at::DeviceIndex>(device)));
  }

  // What the toy counted since the last reset_stats().
  static Json stats() {
    using Read = const char*();
    return *parse_json(symbol<Read>("skarv_toy_stats_json")(), "toy");
  }
  static void reset_stats() { symbol<void()>("skarv_toy_stats_reset")(); }

 private:
  template <typename Function>
  static Function* symbol(const char* name) {
    void* library = dlopen(SKARV_TOY_PLUGIN, RTLD_NOW | RTLD_NOLOAD);
    return reinterpret_cast<Function*>(dlsym(library, name));
  }
};

// Largest difference, relative to the largest value of the reference.
inline double difference(const at::Tensor& tensor, const at::Tensor& reference) {
  if (reference.numel() == 0) return tensor.numel() == 0 ? 0 : 1;
  const at::Tensor a = tensor.cpu().to(at::kDouble), b = reference.cpu().to(at::kDouble);
  const double scale = b.abs().max().item<double>();
  return a.sub(b).abs().max().item<double>() / (scale > 0 ? scale : 1);
}

}  // namespace skarv
