#include "plan/schedule/order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace skarv {
namespace {

using enum ActionKind;

OrderRule rule(const std::string& name) { return find_order_rule(name).value(); }

std::vector<int> straight(int num_stages) {
  std::vector<int> workers(num_stages);
  std::iota(workers.begin(), workers.end(), 0);
  return workers;
}

TEST(Order, OneForwardOneBackwardIsTheClassicalOne) {
  for (int num_stages : {1, 2, 4, 7}) {
    for (int num_microbatches : {1, 2, 5, 16}) {
      const auto orders = order_pipeline(rule("1f1b"), straight(num_stages), num_microbatches);
      for (int s = 0; s < num_stages; ++s) {
        std::vector<Work> expected;
        const int warm_up = std::min(num_microbatches, num_stages - s);
        for (int i = 0; i < warm_up; ++i) expected.push_back({kForward, s, i});
        for (int i = 0; i < num_microbatches; ++i) {
          expected.push_back({kBackward, s, i});
          if (warm_up + i < num_microbatches) expected.push_back({kForward, s, warm_up + i});
        }
        EXPECT_EQ(orders[s], expected) << num_stages << " stages, stage " << s;
      }
    }
  }
}

TEST(Order, GpipeDoesAllForwardsFirst) {
  for (const std::vector<Work>& order : order_pipeline(rule("gpipe"), straight(3), 4)) {
    EXPECT_TRUE(
        std::ranges::is_partitioned(order, [](const Work& work) { return work.kind == kForward; }));
    EXPECT_EQ(order.size(), 8);
  }
}

// Memory of ZB-H1: no more microbatches wait anywhere than 1F1B holds at its first stage.
TEST(Order, ZeroBubbleHoldsNoMoreThanTheFirstStageOf1F1B) {
  const auto orders = order_pipeline(rule("zero-bubble"), straight(4), 12);
  for (const std::vector<Work>& order : orders) {
    EXPECT_EQ(order.size(), 36);
    int held = 0;
    for (const Work& work : order) {
      held += work.kind == kForward ? 1 : work.kind == kBackwardWeight ? -1 : 0;
      EXPECT_LE(held, 4);
    }
    EXPECT_EQ(held, 0);
  }
  // The last stage starts its second forward before the first weights: that is the point of it.
  EXPECT_THAT(
      std::vector(orders[3].begin(), orders[3].begin() + 3),
      testing::ElementsAre(Work{kForward, 3, 0}, Work{kBackwardInput, 3, 0}, Work{kForward, 3, 1}));
}

TEST(Order, StagesMayShareWorkers) {
  const auto orders = order_pipeline(rule("1f1b"), {0, 1, 0, 1}, 6);
  ASSERT_EQ(orders.size(), 2);
  for (const std::vector<Work>& order : orders) EXPECT_EQ(order.size(), 24);
}

TEST(Order, UnknownRulesAreNamed) {
  const Status status = find_order_rule("zero-buble").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.hint(), testing::HasSubstr("zero-bubble"));
}

}  // namespace
}  // namespace skarv
