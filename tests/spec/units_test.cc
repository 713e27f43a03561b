#include "spec/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skarv {
namespace {

TEST(Units, QuantitiesAreReadInBaseUnits) {
  EXPECT_EQ(*parse_quantity("8 GB", Quantity::kBytes), 8e9);
  EXPECT_EQ(*parse_quantity("1.5GiB", Quantity::kBytes), 1.5 * 1073741824);
  EXPECT_EQ(*parse_quantity("100 Mbit/s", Quantity::kBytesPerSecond), 12.5e6);
  EXPECT_EQ(*parse_quantity("2 GB/s", Quantity::kBytesPerSecond), 2e9);
  EXPECT_EQ(*parse_quantity("20 ms", Quantity::kSeconds), 0.02);
  EXPECT_EQ(*parse_quantity("0.5 %", Quantity::kFraction), 0.005);
}

TEST(Units, WhatIsNotAQuantityIsRefused) {
  for (const char* text : {"", "fast", "8", "8 gb", "8 GB/s", "nan GB", "1e999 GB", "8 GB x"}) {
    const Status status = parse_quantity(text, Quantity::kBytes).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << text;
  }
  EXPECT_THAT(parse_quantity("8 Mbit", Quantity::kBytesPerSecond).status().hint(),
              testing::HasSubstr("Mbit/s"));
}

}  // namespace
}  // namespace skarv
