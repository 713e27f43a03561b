#include "plan/schedule/order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace skarv {
namespace {

using enum ActionKind;

// A forward takes 1, each half of a backward 1; memory for num_stages microbatches.
PipelineTimes unit_pipeline(int num_stages, int num_microbatches) {
  PipelineTimes times =
      straight_pipeline(std::vector<StageTimes>(num_stages, {1, 1, 1, 2, 1}), num_microbatches);
  times.memory_bytes.assign(num_stages, 2 * num_stages);
  return times;
}

OrderedPipeline ordered(const std::string& rule, const PipelineTimes& times) {
  return order_pipeline(find_order_rule(rule).value(), times).value();
}

TEST(Order, OneForwardOneBackwardIsTheClassicalOne) {
  for (int num_stages : {1, 2, 4, 7}) {
    for (int num_microbatches : {1, 2, 5, 16}) {
      const auto orders = ordered("1f1b", unit_pipeline(num_stages, num_microbatches)).work;
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

TEST(Order, OneForwardOneBackwardBridgesSlowLinks) {
  PipelineTimes times = unit_pipeline(4, 32);
  times.memory_bytes.assign(4, 1000);
  const int64_t near = ordered("1f1b", times).played.makespan_ns;
  for (BorderTimes& border : times.borders) border = {{0, 4}, {0, 4}};
  // With 4 microbatches in flight a round trip of 40 would be paid 8 times.
  EXPECT_LE(ordered("1f1b", times).played.makespan_ns, near + 30);
}

TEST(Order, GpipeDoesAllForwardsFirst) {
  PipelineTimes times = unit_pipeline(3, 4);
  times.memory_bytes.assign(3, 8);
  for (const std::vector<Work>& order : ordered("gpipe", times).work) {
    EXPECT_TRUE(
        std::ranges::is_partitioned(order, [](const Work& work) { return work.kind == kForward; }));
    EXPECT_EQ(order.size(), 8);
  }
}

TEST(Order, ZeroBubbleKeepsWithinMemory) {
  const auto orders = ordered("zero-bubble", unit_pipeline(4, 12)).work;
  for (const std::vector<Work>& order : orders) {
    EXPECT_EQ(order.size(), 36);
    int held = 0;
    for (const Work& work : order) {
      held += work.kind == kForward ? 2 : -1;
      EXPECT_LE(held, 8);
    }
    EXPECT_EQ(held, 0);
  }
  // The last stage starts its second forward before the first weights: that is the point of it.
  EXPECT_THAT(
      std::vector(orders[3].begin(), orders[3].begin() + 3),
      testing::ElementsAre(Work{kForward, 3, 0}, Work{kBackwardInput, 3, 0}, Work{kForward, 3, 1}));
}

TEST(Order, StagesMayShareWorkers) {
  PipelineTimes times = unit_pipeline(4, 6);
  times.worker_of_stage = {0, 1, 0, 1};
  times.memory_bytes.assign(2, 8);
  for (const OrderRule& rule : order_rules()) {
    const auto orders = ordered(rule.name, times).work;
    ASSERT_EQ(orders.size(), 2);
    for (const std::vector<Work>& order : orders) EXPECT_EQ(order.size(), rule.is_split ? 36 : 24);
  }
}

TEST(Order, TooLittleMemoryIsRefusedWithTheWorker) {
  PipelineTimes times = unit_pipeline(3, 4);
  times.memory_bytes[1] = 1;
  const Status status = order_pipeline(find_order_rule("zero-bubble").value(), times).status();
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.origin(), "worker 1");
}

TEST(Order, NonsenseIsRefusedWithItsPlace) {
  const OrderRule rule = find_order_rule("1f1b").value();
  const auto refused_at = [&](auto change) {
    PipelineTimes times = unit_pipeline(3, 4);
    change(times);
    const Status status = order_pipeline(rule, times).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    return status.origin();
  };
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.stages[2].forward_ns = -1; }), "stage 2");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.stages[1].forward_ns = INT64_MAX; }),
            "stage 1");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.stages[0].freed_by_input = 3; }),
            "stage 0");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.borders[1].gradient.latency_ns = -5; }),
            "border 1");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.borders.pop_back(); }), "pipeline");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.num_microbatches = 0; }), "pipeline");
  EXPECT_EQ(refused_at([](PipelineTimes& times) { times.worker_of_stage[2] = 3; }), "stage 2");
}

TEST(Order, UnknownRulesAreNamed) {
  const Status status = find_order_rule("zero-buble").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.hint(), testing::HasSubstr("zero-bubble"));
}

}  // namespace
}  // namespace skarv
