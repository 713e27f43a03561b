#include "plan/simulate/flow_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace skarv {
namespace {

struct Wanted {
  int64_t start, bytes, solo_ns;
  std::vector<WireUse> wires;
};

// Runs all flows and returns their ends.
std::vector<int64_t> run(const std::vector<int64_t>& capacities, const std::vector<Wanted>& flows) {
  FlowPool pool;
  for (int64_t capacity : capacities) pool.add_resource(capacity);
  std::vector<int64_t> end(flows.size(), -1);
  std::map<int, size_t> running;
  std::vector<int> moved;
  size_t num_started = 0, num_ended = 0;
  while (num_ended < flows.size()) {
    int64_t now = INT64_MAX;
    for (size_t i = 0; i < flows.size(); ++i) {
      if (i >= num_started) now = std::min(now, flows[i].start);
    }
    for (const auto& [number, flow] : running) now = std::min(now, pool.end(number));
    for (auto it = running.begin(); it != running.end();) {
      if (pool.end(it->first) != now) {
        ++it;
        continue;
      }
      end[it->second] = now;
      ++num_ended;
      pool.finish(now, it->first);
      it = running.erase(it);
    }
    for (; num_started < flows.size() && flows[num_started].start == now; ++num_started) {
      const Wanted& flow = flows[num_started];
      running[pool.start(now, flow.bytes, flow.solo_ns, flow.wires)] = num_started;
    }
    pool.settle(now, moved);
  }
  return end;
}

TEST(FlowPool, AloneAFlowTakesItsOwnTime) {
  EXPECT_EQ(run({1'000'000'000}, {{7, 1000, 1003, {{0, 1}}}}), std::vector<int64_t>{1010});
}

TEST(FlowPool, EqualFlowsShareEqually) {
  // 1000 bytes each at 1 byte/ns alone; from 500 on two share: the first has 500 left, 1000 ns.
  EXPECT_EQ(run({1'000'000'000}, {{0, 1000, 1000, {{0, 1}}}, {500, 1000, 1000, {{0, 1}}}}),
            (std::vector<int64_t>{1500, 2000}));
}

TEST(FlowPool, WhatOneCannotUseGoesToTheOthers) {
  // 3 bytes/ns; the first can do 0.5 only, the others get 1.25 each.
  EXPECT_EQ(run({3'000'000'000},
                {{0, 500, 1000, {{0, 1}}}, {0, 1250, 625, {{0, 1}}}, {0, 1250, 625, {{0, 1}}}}),
            (std::vector<int64_t>{1000, 1000, 1000}));
}

TEST(FlowPool, AnotherRateWithTheSameEndKeepsWhatWaitsForIt) {
  // Two at 0.6 bytes/ns: a fifth of a byte is left for the last nanosecond, and 0.4 will do.
  FlowPool pool;
  pool.add_resource(1'200'000'000);
  const WireUse wire[] = {{0, 1}};
  std::vector<int> moved;
  const int first = pool.start(0, 1000, 1000, wire);
  pool.settle(0, moved);
  const int second = pool.start(401, 1000, 1000, wire);
  pool.settle(401, moved);
  ASSERT_EQ(pool.end(first), 1400);
  moved.clear();
  const uint32_t version = pool.version(first);
  const int third = pool.start(1399, 1000, 1000, wire);
  pool.settle(1399, moved);
  EXPECT_EQ(pool.end(first), 1400);
  EXPECT_EQ(pool.version(first), version);
  EXPECT_EQ(moved, (std::vector<int>{third, second}));
}

TEST(FlowPool, MaxMinOverTwoWires) {
  // Wire 0 (1 byte/ns) holds a and b, wire 1 (2 bytes/ns) holds b and c: a 0.5, b 0.5, c 1.5.
  EXPECT_EQ(
      run({1'000'000'000, 2'000'000'000},
          {{0, 500, 250, {{0, 1}}}, {0, 500, 250, {{0, 1}, {1, 1}}}, {0, 1500, 750, {{1, 1}}}}),
      (std::vector<int64_t>{1000, 1000, 1000}));
}

TEST(FlowPool, AWeightStandsForThatManyFlows) {
  std::vector<Wanted> eight(8, {0, 1000, 1000, {{0, 1}}});
  const std::vector<int64_t> each = run({2'000'000'000}, eight);
  EXPECT_EQ(run({2'000'000'000}, {{0, 1000, 1000, {{0, 8}}}})[0], each[0]);
  EXPECT_EQ(each[0], 4000);
}

// Renaming flows and wires changes nothing, and nothing moves faster than wires allow.
TEST(FlowPool, TheOrderOfFlowsAndWiresDoesNotCount) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int64_t bound) { return static_cast<int64_t>(random()) % bound; };
    std::vector<int64_t> capacities;
    for (int i = 0; i < 5; ++i) capacities.push_back(500'000'000 + below(2'000'000'000));
    std::vector<Wanted> flows;
    for (int i = 0; i < 40; ++i) {
      Wanted flow{100 * below(20), 1 + below(100'000), 0, {}};
      flow.solo_ns = std::max<int64_t>(1, flow.bytes * (1 + below(3)) / 2);
      const int first = static_cast<int>(below(5)), second = static_cast<int>(below(5));
      flow.wires.push_back({first, 1});
      if (second != first) flow.wires.push_back({second, 1});
      flows.push_back(flow);
    }
    std::ranges::stable_sort(flows, {}, &Wanted::start);
    const std::vector<int64_t> ends = run(capacities, flows);
    for (size_t i = 0; i < flows.size(); ++i) {
      EXPECT_GE(ends[i], flows[i].start + flows[i].solo_ns - 1);
    }
    std::vector<Wanted> mirrored = flows;
    for (Wanted& flow : mirrored) {
      for (WireUse& use : flow.wires) use.resource = 4 - use.resource;
      std::ranges::reverse(flow.wires);
    }
    std::ranges::reverse(capacities);
    std::vector<size_t> order(flows.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
    std::ranges::stable_sort(order, {}, [&](size_t i) { return flows[i].start; });
    std::vector<Wanted> shuffled;
    for (size_t i : order) shuffled.push_back(mirrored[i]);
    const std::vector<int64_t> again = run(capacities, shuffled);
    for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(again[i], ends[order[i]]);
  }
}

}  // namespace
}  // namespace skarv
