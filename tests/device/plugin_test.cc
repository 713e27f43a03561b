#include "device/plugin.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "device/device.h"
#include "device/numerics.h"
#include "device/ordinal.h"

namespace skarv {
namespace {

// Runs `body` in a fresh process, where nothing has been loaded and no backward pass has run. It
// prints what it finds wrong and exits with 1.
#define IN_FRESH_PROCESS(body)                               \
  do {                                                       \
    GTEST_FLAG_SET(death_test_style, "threadsafe");          \
    EXPECT_EXIT((body)(), testing::ExitedWithCode(0), ".*"); \
  } while (false)

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::_Exit(1);
}

// Any library that is surely there: the one that malloc comes from.
std::string library_without_backend() {
  Dl_info info{};
  return dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 ? info.dli_fname : "";
}

TEST(PluginTest, AMissingFileIsNamed) {
  const Result<Plugin> plugin = load_plugin("/nowhere/libdevice.so");
  ASSERT_FALSE(plugin.ok());
  EXPECT_EQ(plugin.status().code(), Code::kNotFound);
  EXPECT_EQ(plugin.status().origin(), "/nowhere/libdevice.so");
  EXPECT_FALSE(plugin.status().hint().empty());
}

TEST(PluginTest, WhatIsNoLibraryIsRefusedWithTheLoadersReason) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("skarv_no_library_" + std::to_string(getpid()));
  std::ofstream(path) << "text";
  IN_FRESH_PROCESS([&] {
    const Status status = load_plugin(path).status();
    expect(status.code() == Code::kInvalidArgument, status.to_string());
    expect(status.message().find("does not load") != std::string::npos, status.to_string());
    std::_Exit(0);
  });
  std::filesystem::remove(path);
}

TEST(PluginTest, ALibraryWithoutABackendIsRefused) {
  IN_FRESH_PROCESS([] {
    const Status status = load_plugin(library_without_backend()).status();
    expect(status.code() == Code::kInvalidArgument, status.to_string());
    expect(status.message().find("registers no PrivateUse1 backend") != std::string::npos,
           status.to_string());
    std::_Exit(0);
  });
}

TEST(PluginTest, LoadedAfterABackwardPassIsRefused) {
  IN_FRESH_PROCESS([] {
    at::ones({1}).requires_grad_().sum().backward();
    const Status status = load_plugin(SKARV_TOY_PLUGIN).status();
    expect(status.code() == Code::kFailedPrecondition, status.to_string());
    expect(status.hint().find("before the first backward") != std::string::npos,
           status.to_string());
    std::_Exit(0);
  });
}

TEST(PluginTest, GivesItsDevicesAndLoadsOnce) {
  IN_FRESH_PROCESS([] {
    const Result<Plugin> plugin = load_plugin(SKARV_TOY_PLUGIN);
    expect(plugin.ok(), plugin.status().to_string());
    expect(plugin->name == "toy" && plugin->num_devices == 2, plugin->name);
    expect(load_plugin(SKARV_TOY_PLUGIN).ok(), "the same path again");
    expect(Device::available() == std::vector<std::string>{"cpu", "toy:0", "toy:1"}, "names");
    expect(Device::open("toy:1").ok() && !Device::open("toy:2").ok(), "two devices");
    expect(Device::open("toy")->name() == "toy:0", "index 0 is the default");
    expect(open_by_ordinal("toy", 1, false)->name() == "toy:1", "the host's second");
    expect(open_by_ordinal("toy", 2, true)->name() == "toy:0", "emulated: shares the first");
    const Result<Device> absent = open_by_ordinal("toy", 2, false);
    expect(!absent.ok() && absent.status().code() == Code::kNotFound, "a device too many");
    expect(absent.status().to_string().find("as many devices as it has") != std::string::npos,
           absent.status().to_string());
    expect(open_by_ordinal("cpu", 5, false)->name() == "cpu", "one processor for all");
    // One out-of-tree backend a process.
    const Status other = load_plugin(library_without_backend()).status();
    expect(other.code() == Code::kFailedPrecondition, other.to_string());
    std::_Exit(0);
  });
}

// The threads of the backward pass start while the plug-in is loaded: numerics come before.
TEST(PluginTest, BackwardThreadsTakeTheNumberOfThreadsSetBefore) {
  IN_FRESH_PROCESS([] {
    expect(apply(Numerics{.num_threads = 3}).ok(), "numerics");
    expect(load_plugin(SKARV_TOY_PLUGIN).ok(), "load");
    const at::Device toy(at::kPrivateUse1, 0);
    const at::Tensor leaf = at::ones({2}, at::TensorOptions().device(toy)).requires_grad_();
    std::thread::id thread;
    int num_threads = 0;
    leaf.register_hook([&](const at::Tensor& gradient) {
      thread = std::this_thread::get_id();
      num_threads = at::get_num_threads();
      return gradient;
    });
    leaf.sum().backward();
    expect(thread != std::this_thread::get_id(), "a thread of the engine");
    expect(num_threads == 3, "threads: " + std::to_string(num_threads));
    std::_Exit(0);
  });
}

}  // namespace
}  // namespace skarv
