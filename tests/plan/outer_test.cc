#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/outer/goodput.h"
#include "plan/outer/outer_round.h"
#include "plan/outer/worth.h"

namespace skarv {
namespace {

TEST(Tcp, LossLimitsAStream) {
  TcpPath path{1.25e9, 0.1, 1e-4, 1, CongestionControl::kReno};
  // 1448 bytes / 0.1 s * sqrt(15,000) = 1.77 MB/s.
  EXPECT_NEAR(tcp_throughput(path), 1.7734e6, 1e3);
  path.num_streams = 8;
  EXPECT_NEAR(tcp_throughput(path), 8 * 1.7734e6, 8e3);
  path.control = CongestionControl::kCubic;  // 1448 / 0.1 * 1.054 * 1000^0.75
  EXPECT_NEAR(tcp_throughput(path), 8 * 2.7140e6, 8e3);
  path.control = CongestionControl::kBbr;
  EXPECT_DOUBLE_EQ(tcp_throughput(path), 1.25e9 * (1 - 1e-4));
  path = {12.5e6, 0.1, 0, 4, CongestionControl::kReno};
  EXPECT_DOUBLE_EQ(tcp_throughput(path), 12.5e6);
  EXPECT_EQ(streams_wanted(path), 1);
  path.loss = 1e-4;
  EXPECT_EQ(streams_wanted(path), 7);
  EXPECT_EQ(congestion_control_from("cubik").status().code(), Code::kNotFound);
}

TEST(Tcp, SlowStartDoublesEveryRoundTrip) {
  // Window 14,480 bytes; full is 57,920: two round trips at a quarter and at half speed.
  const TcpPath path{579'200, 0.1, 0, 1, CongestionControl::kCubic};
  EXPECT_NEAR(slow_start_seconds(path, 1e9), 0.075 + 0.05, 1e-9);
  EXPECT_EQ(slow_start_seconds(path, 14'000), 0);  // nothing is left to wait for
  EXPECT_NEAR(slow_start_seconds(path, 15'000), 0.075, 1e-9);
  EXPECT_EQ(slow_start_seconds({1e9, 0, 0, 4, CongestionControl::kCubic}, 1e9), 0);
}

TEST(Tcp, ABurstIsNoLaterWithMoreBandwidth) {
  for (const double bytes : {1e4, 1e5, 1e6, 1e7}) {
    double before = 1e9;
    for (double bandwidth = 1e5; bandwidth < 1e10; bandwidth *= 1.1) {
      const TcpPath path{bandwidth, 0.1, 0, 2, CongestionControl::kCubic};
      const double now = bytes / tcp_throughput(path) + slow_start_seconds(path, bytes);
      EXPECT_LE(now, before + 1e-12) << bytes << " bytes at " << bandwidth;
      before = now;
    }
  }
}

struct World {
  Cluster cluster = cluster_of({{"n", {0}}, {"s", {0}}});  // 12.5 MB/s, 100 ms round trip
  ExchangeSettings exchange;
  std::vector<OuterIsland> islands = {{"n", "n", 1'000'000'000, 16, 1},
                                      {"s", "s", 800'000'000, 16, 1}};
  World() {
    exchange.inner_steps = 20;
    exchange.overlap_steps = 2;
  }
  OuterRound round() const { return price_round(islands, setting()).value(); }
  OuterSetting setting() const { return {exchange, cluster, 32'000'000, 4}; }
};

TEST(OuterRound, PricedByHand) {
  World world;
  const OuterRound round = world.round();
  // int4: 4.25 bits a value, 17 MB; half merged here, half there: 8.5 MB each way, twice.
  EXPECT_EQ(round.fragment_bytes_up, 17'000'000);
  EXPECT_EQ(round.bytes, 4 * 8'500'000);
  EXPECT_EQ(round.trips_ns, 250'000'000);
  EXPECT_EQ(round.keeper_ns, 64'000'000);
  // 8.5 MB at 12.5 MB/s = 0.68 s; 1.25 MB in flight when full, four streams begin with 57,920
  // bytes: five round trips short of it, 0.1 s * (5 - 57,920 / 1.25e6 * 31) = 0.356 s.
  EXPECT_NEAR(static_cast<double>(round.contribute_ns), 1.0364e9, 1e6);
  EXPECT_EQ(round.merged_ns, round.contribute_ns);
  EXPECT_EQ(round.compute_ns, 20'000'000'000);
  EXPECT_EQ(round.overlap_ns, 2'000'000'000);
  EXPECT_EQ(round.exposed_ns, round.round_trip_ns() - 2'000'000'000);
  EXPECT_EQ(round.slowest, "n");
  EXPECT_THAT(round.waits, testing::ElementsAre(-1, testing::DoubleNear(0.2, 1e-9)));
}

TEST(OuterRound, FragmentsOverlapAndCodecsCount) {
  World world;
  const OuterRound plain = world.round();
  world.exchange.num_fragments = 4;
  const OuterRound fragments = world.round();
  EXPECT_EQ(fragments.steps, 5);
  EXPECT_NEAR(static_cast<double>(fragments.bytes), static_cast<double>(plain.bytes) / 4, 100);
  EXPECT_LT(fragments.round_trip_ns(), plain.round_trip_ns());
  world.exchange.num_fragments = 1;
  world.exchange.overlap_steps = 5;
  EXPECT_EQ(world.round().exposed_ns, 0);
  EXPECT_EQ(world.round().utilisation, 1);
  world.exchange.upload = CodecKind::kIdentity;
  EXPECT_EQ(world.round().fragment_bytes_up, 128'000'000);
  world.exchange.mode = ExchangeMode::kGradient;
  EXPECT_EQ(world.round().steps, 1);
  EXPECT_EQ(world.round().overlap_ns, 0);
  EXPECT_LT(world.round().utilisation, 0.1);
}

TEST(OuterRound, UplinksAreShared) {
  World world;
  world.cluster = cluster_of({{"a", {0}}, {"b", {0}}, {"c", {0}}});
  world.cluster.links.push_back({"b", "c", 12.5e6, 0.1, 0, 0});
  world.islands = {{"a", "a", 1'000'000'000, 8, 1},
                   {"b", "b", 1'000'000'000, 8, 1},
                   {"c", "c", 1'000'000'000, 8, 1}};
  const int64_t open = world.round().contribute_ns;
  for (Site& site : world.cluster.sites) site.uplink_bandwidth = 12.5e6;
  EXPECT_GT(world.round().contribute_ns, open + 300'000'000);  // two flows on every uplink
}

TEST(OuterRound, MergingIsSharedByTheFastestLinkWhereNoUplinkIsKnown) {
  World world;
  world.cluster = cluster_of({{"a", {0}}, {"b", {0}}, {"c", {0}}});
  world.cluster.links = {
      {"a", "b", 10e6, 0.1, 0, 0}, {"a", "c", 10e6, 0.1, 0, 0}, {"b", "c", 40e6, 0.1, 0, 0}};
  world.islands = {{"first", "a", 1'000'000'000, 8, 1},
                   {"second", "b", 1'000'000'000, 8, 1},
                   {"third", "c", 1'000'000'000, 8, 1}};
  const OuterRound round = world.round();
  for (const TransferFigures& one : round.transfers) {
    // Contributions to the merger, and what it merged: 10 : 40 : 40.
    const double merged_there = one.to == "first" ? 10.0 / 90 : 40.0 / 90;
    const double merged_here = one.from == "first" ? 10.0 / 90 : 40.0 / 90;
    EXPECT_NEAR(static_cast<double>(one.bytes),
                merged_there * static_cast<double>(round.fragment_bytes_up) +
                    merged_here * static_cast<double>(round.fragment_bytes_down),
                4)
        << one.from << " to " << one.to;
  }
}

TEST(OuterRound, AQuorumDoesNotWaitForTheSlowest) {
  World world;
  world.islands[1].step_ns = 3'000'000'000;
  world.exchange.round_budget_seconds = 20;  // grace 2 s
  EXPECT_EQ(world.round().compute_ns, 60'000'000'000);
  world.exchange.contributions = 1;
  // Two rounds at 20 s + 2 s, the third waits for the one left out.
  EXPECT_EQ(world.round().compute_ns, (2 * 22'000'000'000 + 60'000'000'000) / 3);
}

TEST(OuterRound, AdviceIsWhatTheLinksAllow) {
  World world;
  world.exchange.overlap_steps = 1;
  const std::vector<std::string> advice = advise(world.islands, world.setting()).value();
  EXPECT_THAT(advice, testing::Contains(testing::HasSubstr("overlap_steps = 3")));
  world.cluster.links[0].loss = 1e-3;
  EXPECT_THAT(advise(world.islands, world.setting()).value(),
              testing::Contains(testing::HasSubstr("streams reach")));
  world.exchange.overlap_steps = 5;
  world.cluster.links[0].loss = 0;
  EXPECT_THAT(advise(world.islands, world.setting()).value(), testing::IsEmpty());
}

TEST(OuterRound, NonsenseIsNamed) {
  World world;
  world.islands[1].site = "t";
  EXPECT_EQ(price_round(world.islands, world.setting()).status().code(), Code::kNotFound);
  world.islands[1].site = "s";
  world.cluster.links.clear();
  EXPECT_THAT(price_round(world.islands, world.setting()).status().message(),
              testing::HasSubstr("no link between n and s"));
}

TEST(Goodput, NobodyFailsNothingIsLost) {
  const Goodput goodput = goodput_of({{{"n", "n", 8, 1, 100, 0}}, {}, 5, 20, 1, 0, 1});
  EXPECT_EQ(goodput.fraction(), 1);
  EXPECT_EQ(goodput.num_failures, 0);
  EXPECT_EQ(goodput.expected_failures, 0);
}

TEST(Goodput, CostsAboutWhatTheMeansSay) {
  GoodputSetting setting{{{"n", "n", 1000, 125, 100, 10}}, {}, 5, 20, 1, 0, 1};
  setting.rates.device_mtbf = 1e7;  // 8.64 failures a day of 65 s and half a period of 20 s each
  const Goodput goodput = goodput_of(setting, 200);
  EXPECT_NEAR(goodput.fraction(), 1 - 8.64 * (65 + 10) / 86'400, 0.0015);
  EXPECT_EQ(goodput_of(setting, 200).tokens, goodput.tokens);
  setting.seed = 1000;
  EXPECT_NE(goodput_of(setting, 200).tokens, goodput.tokens);
}

// docs/cost-model.md, 7: 1000 devices of 1e7 s fail every 10000 s; 300 s of restart, 5 s to notice;
// a checkpoint an hour: 3600 / (e^0.36 - 1) / (10000 e^0.0305) = 0.8058.
TEST(Goodput, CheckpointsAndRestartsAsCalculatedByHand) {
  GoodputSetting setting{{{"n", "n", 1000, 125, 100, 0}}, {}, 5, 3600, 1, 0, 1};
  setting.rates.device_mtbf = 1e7;
  setting.rates.restart_seconds = 300;
  EXPECT_NEAR(goodput_of(setting, 1000).fraction(), 0.8058, 0.006);
  // Every ten minutes: 600 / (e^0.06 - 1) / (10000 e^0.0305) = 0.9412.
  setting.period_seconds = 600;
  EXPECT_NEAR(goodput_of(setting, 1000).fraction(), 0.9412, 0.004);
}

// protocol.md, 2: max(ceil(M / 2), min(D, M)).
TEST(Goodput, ARoundNeedsAQuorumAndItsContributors) {
  ExchangeSettings exchange;
  const auto needed = [&](int durable_copies, int num_islands) {
    exchange.durable_copies = durable_copies;
    return islands_to_commit(exchange, num_islands);
  };
  EXPECT_EQ(needed(2, 1), 1);
  EXPECT_EQ(needed(2, 2), 2);  // one of two that is gone stops the rounds
  EXPECT_EQ(needed(1, 2), 1);
  EXPECT_EQ(needed(2, 3), 2);
  EXPECT_EQ(needed(3, 3), 3);
  EXPECT_EQ(needed(2, 4), 2);
  EXPECT_EQ(needed(2, 5), 3);
  exchange.min_contributors = 4;
  EXPECT_EQ(needed(2, 5), 4);
  EXPECT_EQ(rounds_ahead(exchange), 2.5);
  exchange.overlap_steps = 0;
  EXPECT_EQ(rounds_ahead(exchange), 0.5);
  exchange.mode = ExchangeMode::kGradient;
  EXPECT_EQ(needed(2, 5), 5);
  EXPECT_EQ(rounds_ahead(exchange), 0);
}

// Each site fails once a day on the mean and is back after 3660 s. It is up for e^(-3660 / 86400) =
// 0.9585 of the time, both are for 0.9187; a day begins with both: 2 % less of either loss.
TEST(Goodput, WithoutAQuorumTheOthersTrainALittleAheadThenWait) {
  GoodputSetting setting{{{"n", "n", 8, 1, 100, 0}, {"s", "s", 8, 1, 100, 0}}, {}, 5, 0, 1, 0, 1};
  setting.rates.site_mtbf = 86'400;
  constexpr int kDays = 200;
  const Goodput alone = goodput_of(setting, kDays);
  EXPECT_NEAR(alone.fraction(), 0.9594, 0.009);
  EXPECT_NEAR(alone.num_failures, 2, 0.4);
  EXPECT_DOUBLE_EQ(alone.expected_failures, 2);
  EXPECT_EQ(alone.seconds_paused, 0);

  setting.num_needed = 2;
  const Goodput waiting = goodput_of(setting, kDays);
  EXPECT_NEAR(waiting.fraction(), 0.9204, 0.017);
  EXPECT_EQ(waiting.seconds_down, alone.seconds_down);
  EXPECT_NEAR(waiting.seconds_paused + waiting.seconds_down, (1 - waiting.fraction()) * 86'400,
              1e-3);

  // Of each outage that finds the other site up, which has half of the tokens, 1000 s are trained.
  setting.ahead_seconds = 1000;
  const Goodput ahead = goodput_of(setting, kDays);
  EXPECT_NEAR(waiting.seconds_paused - ahead.seconds_paused, 500 * 0.9585 * alone.num_failures,
              0.08 * 500 * alone.num_failures);
  setting.ahead_seconds = 1e6;
  EXPECT_DOUBLE_EQ(goodput_of(setting, kDays).tokens, alone.tokens);
}

// The only device of n fails again and again, so that s trains without a commit until their site
// fails: two hours on the mean, all lost. Alone it would lose what is left of an hour.
TEST(Goodput, WhatIsTrainedAheadIsLostWithItsIsland) {
  GoodputSetting setting{
      {{"n", "here", 1, 0, 100, 0}, {"s", "here", 0, 0, 100, 0}}, {}, 5, 3600, 2, 1e6, 1};
  setting.rates.device_mtbf = 1;
  setting.rates.site_mtbf = 2 * 3600;
  const double with_quorum = goodput_of(setting).seconds_lost;
  setting.num_needed = 1;
  EXPECT_GT(with_quorum, 2 * goodput_of(setting).seconds_lost);
}

TEST(Goodput, NonsenseIsNamed) {
  FailureRates rates;
  rates.host_mtbf = -1;
  EXPECT_EQ(check_rates(rates).origin(), "host_mtbf");
  rates.host_mtbf = 0;
  rates.snapshot_seconds = -1;
  EXPECT_EQ(check_rates(rates).origin(), "snapshot");
}

// Rounds of 10 steps, nothing hidden. Alone, "n" takes 1.8 s for what both do in 1 s.
TEST(FasterWithout, LeavesOutWhoCostsMoreThanItTrains) {
  World world;
  world.exchange.inner_steps = 10;
  world.exchange.overlap_steps = 0;
  world.islands = {{"n", "n", 1'000'000'000, 20, 1}, {"s", "s", 1'000'000'000, 16, 1}};
  const double together = speed_with_rounds(world.islands, world.setting()).value();
  EXPECT_NEAR(together, 10 / (10 + 1e-9 * static_cast<double>(world.round().exposed_ns)), 1e-9);
  EXPECT_TRUE(faster_without(world.islands, world.setting(), 1)->empty());
  world.cluster.links[0].bandwidth = 1e6;  // 8.5 s a transfer: 10 + 17 s, alone 18 or 22.5
  const std::vector<FewerIslands> faster =
      faster_without(world.islands, world.setting(), 1).value();
  ASSERT_EQ(faster.size(), 2);
  EXPECT_EQ(faster[0].left_out, std::vector<size_t>{1});
  EXPECT_NEAR(faster[0].speed, 1 / 1.8, 1e-9);
  EXPECT_EQ(faster[1].left_out, std::vector<size_t>{0});
  EXPECT_NEAR(faster[1].speed, 1 / 2.25, 1e-9);
  EXPECT_TRUE(faster_without(world.islands, world.setting(), 2)->empty());
}

TEST(FasterWithout, TriesEveryPart) {
  World world;
  world.cluster = cluster_of({{"a", {0}}, {"b", {0}}, {"c", {0}}, {"d", {0}}});
  for (const auto& [from, to] : {std::pair("b", "c"), {"b", "d"}, {"c", "d"}}) {
    world.cluster.links.push_back({from, to, 12.5e6, 0.1, 0, 0});
  }
  for (Link& link : world.cluster.links) {
    if (link.to == "d" || link.to == "c") link.bandwidth = 1e5;
  }
  world.islands.clear();
  for (const char* name : {"a", "b", "c", "d"}) {
    world.islands.push_back({name, name, 1'000'000'000, 16, 1});
  }
  const std::vector<FewerIslands> faster =
      faster_without(world.islands, world.setting(), 1).value();
  ASSERT_FALSE(faster.empty());
  EXPECT_EQ(faster[0].left_out, (std::vector<size_t>{2, 3}));
}

}  // namespace
}  // namespace skarv
