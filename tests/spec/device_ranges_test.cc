#include "spec/device_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace skarv {
namespace {

using testing::ElementsAre;

TEST(DeviceRanges, CompressesHostsAndDevices) {
  std::vector<std::string> names;
  for (int host = 0; host < 4; ++host) {
    for (int index = 0; index < 8; ++index) names.push_back(cat("n/h", host, "/", index));
  }
  EXPECT_THAT(compress_names(names), ElementsAre("n/h[0-3]/[0-7]"));
  EXPECT_THAT(compress_names({"n/a/0", "n/a/1"}), ElementsAre("n/a/0", "n/a/1"));
  EXPECT_THAT(compress_names({"n/a/0", "n/a/1", "n/a/2", "n/b/1"}),
              ElementsAre("n/a/[0-2]", "n/b/1"));
  EXPECT_THAT(compress_names({}), ElementsAre());
}

TEST(DeviceRanges, WhatIsCompressedExpandsToTheSameInTheSameOrder) {
  const std::vector<std::vector<std::string>> lists = {
      {"s/h9/0", "s/h10/0", "s/h11/0", "s/h12/0"},
      {"s/h/3", "s/h/2", "s/h/1"},
      {"s/x/00", "s/x/01", "s/x/02"},
      {"a", "b/7", "b/8", "b/9", "7", "8", "9"},
      {"s/h0/0", "s/h1/0", "s/h2/0", "s/h0/1", "s/h1/1", "s/h2/1"},
  };
  for (const std::vector<std::string>& names : lists) {
    std::vector<std::string> back;
    for (const std::string& pattern : compress_names(names)) {
      ASSERT_TRUE(expand_ranges(pattern, back)) << pattern;
    }
    EXPECT_EQ(back, names);
  }
}

TEST(DeviceRanges, RefusesWhatIsNoRange) {
  for (const char* pattern : {"a[", "a[1", "a[3-1]", "a[-1]", "a[x-y]", "a[0-99999999]"}) {
    std::vector<std::string> out;
    EXPECT_FALSE(expand_ranges(pattern, out)) << pattern;
  }
}

}  // namespace
}  // namespace skarv
