#include "device/plugin.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "device/device.h"

namespace skarv {
namespace {

using testing::HasSubstr;

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
    const Status status = load_plugin("/lib/x86_64-linux-gnu/libm.so.6").status();
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
    // One out-of-tree backend a process.
    const Status other = load_plugin("/lib/x86_64-linux-gnu/libm.so.6").status();
    expect(other.code() == Code::kFailedPrecondition, other.to_string());
    std::_Exit(0);
  });
}

}  // namespace
}  // namespace skarv
