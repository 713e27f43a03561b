// The generator that tests of executors use is right itself.
#include "support/random_schedule.h"

#include <gtest/gtest.h>

#include "spec/examples.h"

namespace skarv {
namespace {

TEST(RandomSchedule, IsValidAndDiffersBySeed) {
  const Plan plan = example_plan();
  const SlabTable table(example_run().model, 1);
  for (const Island& island : plan.islands) {
    const Ownership ownership = ownership_of(island, plan, table);
    const auto make = [&](uint64_t seed) {
      return random_schedule(island, ownership, table, example_run().model, Precision::kFp32, seed);
    };
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Status status = check_schedule(make(seed), island, ownership);
      EXPECT_TRUE(status.ok()) << status;
    }
    EXPECT_EQ(make(3), make(3));
    EXPECT_NE(make(3), make(4));
  }
}

}  // namespace
}  // namespace skarv
