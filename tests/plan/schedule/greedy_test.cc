#include "plan/schedule/greedy.h"

#include <gtest/gtest.h>

#include "plan/schedule/earliest.h"
#include "plan/schedule/plain_greedy.h"
#include "plan/schedule/random_pipeline.h"
#include "plan/schedule/warm_up.h"

namespace skarv {
namespace {

// As it is, with two stages a worker, or with whole backwards, whose weights take no time.
PipelineTimes some_pipeline(uint64_t seed) {
  PipelineTimes times = random_pipeline(seed, 12, 30);
  const int num_stages = times.num_stages();
  if (seed % 3 == 0) {
    const int num_workers = (num_stages + 1) / 2;
    for (int s = 0; s < num_stages; ++s) {
      times.worker_of_stage[s] = seed % 2 == 0 ? s % num_workers : std::min(s, num_stages - 1 - s);
    }
    times.memory_bytes.resize(num_workers);
    for (int w = 0; w < num_workers; ++w) {
      times.memory_bytes[w] = least_memory(times, w) + static_cast<int64_t>(seed % 5) * 3000;
    }
  }
  return seed % 7 == 0 ? with_whole_backwards(times) : times;
}

GreedyRule some_rule(Draws& draws, const PipelineTimes& times) {
  GreedyRule rule;
  rule.weight_gap = static_cast<int>(draws.between(0, 4)) * 300;
  rule.forward_first = draws.between(0, 1) == 0;
  rule.is_fused = draws.between(0, 3) == 0;
  const auto interval = static_cast<int>(draws.between(0, 2)) * 500;
  const auto extra = static_cast<int>(draws.between(-1, 2));
  if (draws.between(0, 3) > 0) rule.depth = depths_of({interval, 1000, extra}, times);
  return rule;
}

TEST(Greedy, OrdersAreThoseOfAPlainQueueOfEvents) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const PipelineTimes times = some_pipeline(seed);
    Draws draws(1000 + seed);
    for (int i = 0; i < 12; ++i) {
      const GreedyRule rule = some_rule(draws, times);
      const WorkOrder order = order_plainly(times, rule);
      ASSERT_FALSE(order.empty());
      EXPECT_EQ(order_greedily(times, rule), order) << seed;
      const int64_t makespan = Player(times).play(order).makespan_ns;
      const int64_t give_up = makespan * draws.between(80, 120) / 100;
      EXPECT_EQ(order_greedily(times, rule, give_up), order_plainly(times, rule, give_up)) << seed;
    }
  }
}

TEST(Greedy, FillsFirstAsThePlainQueueDoes) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    PipelineTimes times = random_pipeline(seed, 8, 12);
    times.memory_bytes.assign(times.num_workers(), kNoMemoryLimit);
    GreedyRule rule;
    rule.is_fused = rule.forward_first = rule.fills_first = true;
    EXPECT_EQ(order_greedily(times, rule), order_plainly(times, rule)) << seed;
  }
}

TEST(Earliest, IsTheFirstOfThoseWithTheLeastTime) {
  Draws draws(1);
  for (int count = 1; count <= 9; ++count) {
    Earliest earliest(count);
    std::vector<int64_t> times(count, 0);
    for (int i = 0; i < 200; ++i) {
      const auto least = std::ranges::min_element(times);
      EXPECT_EQ(earliest.time(), *least);
      EXPECT_EQ(earliest.who(), least - times.begin());
      const auto who = static_cast<int>(draws.between(0, count - 1));
      const int64_t time = draws.between(0, 20) == 0 ? Earliest::kNever : draws.between(0, 9);
      if (draws.between(0, 1) == 0) {
        earliest.set(who, time);
        times[who] = time;
      } else {
        earliest.set_at_most(who, time);
        times[who] = std::min(times[who], time);
      }
    }
  }
}

}  // namespace
}  // namespace skarv
