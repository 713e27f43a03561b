#include "plan/search/exhaustive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plan/search/planner.h"

namespace skarv {
namespace {

// Seconds of the opponent's fastest plan by the simulator, which knows better than its own plain
// evaluator where memory holds orders back: so the ten that this one likes best are priced.
double fastest(const SmallCase& small, const Exhausted& opponent, int& num_agreed) {
  double best = 0;
  for (const auto& [seconds, plan] : opponent.plans) {
    const Result<PlanReport> priced = price_plan(plan, small.run, small.cluster, small.profile);
    EXPECT_TRUE(priced.ok()) << priced.status();
    const bool is_first = &plan == &opponent.plans.front().second;
    if (is_first) num_agreed += std::abs(priced->step_seconds / seconds - 1) < 0.01;
    const bool fits = std::ranges::all_of(
        priced->devices, [](const DeviceReport& device) { return device.memory.fits(); });
    if (fits && (best == 0 || priced->step_seconds < best)) best = priced->step_seconds;
  }
  return best;
}

void compete(uint64_t first, int count) {
  PlannerLimits limits;
  limits.schedules = {"1f1b"};
  int num_hits = 0, num_compared = 0, num_agreed = 0;
  double worst = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const SmallCase small = random_case(seed);
    const double theirs = fastest(small, exhaust(small), num_agreed);
    if (theirs == 0) continue;  // nothing fits
    const Result<PlanReport> ours = make_plan(small.run, small.cluster, small.profile, limits);
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_LE(ours->step_seconds, 1.01 * theirs) << to_table(*ours);
    worst = std::max(worst, ours->step_seconds / theirs);
    num_hits += ours->step_seconds <= theirs;
    ++num_compared;
  }
  std::printf(
      "%d of %d as fast as the best of all or faster, worst %.4f times; evaluators agree "
      "on %d\n",
      num_hits, num_compared, worst, num_agreed);
  EXPECT_GE(num_hits, num_compared * 9 / 10);
  EXPECT_GE(num_agreed, num_compared * 8 / 10);
  EXPECT_GE(num_compared, count * 8 / 10);
}

TEST(SlowPlannerAgainstAll, FiftyCasesWithinAPercent) { compete(1, 50); }
TEST(EndurancePlannerAgainstAll, FiveHundredCasesWithinAPercent) { compete(1000, 500); }

}  // namespace
}  // namespace skarv
