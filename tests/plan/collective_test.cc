#include "plan/cost/collective.h"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/cost/constants.h"
#include "plan/tables/csv.h"

namespace skarv {
namespace {

// 1 byte/ns inside, 0.1 byte/ns out of a host.
GroupShape group(int num_devices, int devices_per_host) {
  GroupShape shape;
  shape.num_devices = num_devices;
  shape.devices_per_host = devices_per_host;
  shape.inside = LinkCost(1e9, 10);
  shape.between = LinkCost(1e8, 100);
  return shape;
}

TEST(Collective, OneDeviceCostsNothing) {
  GroupShape alone = group(1, 1);
  alone.start_ns = 500;
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 1 << 20, alone), 0);
}

TEST(Collective, RingOnOneHost) {
  // 4 devices, 4000 bytes: all-reduce 6 rounds of 1000 bytes and 10 ns; the others 3 rounds.
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 4000, group(4, 4)), 6 * 10 + 6000);
  EXPECT_EQ(collective_ns(Collective::kReduceScatter, 4000, group(4, 4)), 3 * 10 + 3000);
  EXPECT_EQ(collective_ns(Collective::kAllGather, 4000, group(4, 4)), 3 * 10 + 3000);
}

TEST(Collective, TreeWinsWhenLatencyCounts) {
  // 64 hosts, 64 bytes: ring 126 * 100 + 126 * 10; tree 12 * 100 + 128 * 10.
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 64, group(64, 1)), 1200 + 1280);
  // Reduce-scatter has no tree: 63 rounds.
  EXPECT_EQ(collective_ns(Collective::kReduceScatter, 64, group(64, 1)), 6300 + 630);
}

TEST(Collective, RingWinsWhenBytesCount) {
  // 4 hosts, 400000 bytes: 6 * 100 + 600000 * 10; the tree would move 800000.
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 400'000, group(4, 1)), 600 + 6'000'000);
}

TEST(Collective, HierarchyMovesLessBetweenHosts) {
  // 2 hosts of 4, 800 bytes. Flat ring: 14 * 100 + 1400 * 10 = 15400. Tree: 6 * 10 + 2 * 100 +
  // 1600 * 10. Hierarchy: inside 6 * 10 + 1200, between 2 * 100 + 4 rails * 200 * 10.
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 800, group(8, 4)), 60 + 1200 + 200 + 8000);
  // Half of it: 3 * 10 + 600, 100 + 4 * 100 * 10.
  EXPECT_EQ(collective_ns(Collective::kReduceScatter, 800, group(8, 4)), 30 + 600 + 100 + 4000);
}

TEST(Collective, GroupsShareTheHostsNetwork) {
  GroupShape shape = group(2, 1);
  const int64_t alone = collective_ns(Collective::kAllReduce, 1'000'000, shape);
  shape.num_sharing = 8;
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 1'000'000, shape) - 200, 8 * (alone - 200));
}

TEST(Collective, StartIsPaidOnce) {
  GroupShape shape = group(4, 4);
  shape.start_ns = 7000;
  EXPECT_EQ(collective_ns(Collective::kAllReduce, 4000, shape), 7000 + 6060);
}

TEST(Collective, MoreBytesNeverTakeLess) {
  for (int n : {2, 3, 8, 20, 64}) {
    for (int inner : {1, 2, 8}) {
      int64_t before = 0;
      for (int64_t bytes = 1; bytes < (int64_t{1} << 40); bytes *= 3) {
        const int64_t now = collective_ns(Collective::kAllReduce, bytes, group(n, inner));
        EXPECT_GE(now, before);
        before = now;
      }
    }
  }
}

// One link of 228 GB/s (what estimates take for the A100's 300), 3 us a hop and 35 us to start, for
// all group sizes and 1 MB to 1 GB.
TEST(Collective, MeetsMeasuredAllReducesOfOneHost) {
  const Result<CsvTable> table =
      CsvTable::read(SKARV_SOURCE_DIR "/bench/validation/allreduce_in_node.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  const HardwareConstants estimate = Constants::built_in().of("estimate").value();
  double sum = 0, worst = 0;
  int count = 0;
  for (int i = 0; i < table->num_rows(); ++i) {
    const CsvRow row = table->row(i);
    if (row.text(*table->column("chip")) != "a100") continue;
    const auto devices = static_cast<int>(*row.integer(*table->column("devices")));
    GroupShape shape = group(devices, devices);
    shape.inside = LinkCost(300e9 * estimate.link_fraction, estimate.hop_ns());
    shape.start_ns = estimate.start_ns();
    const auto ns = static_cast<double>(
        collective_ns(Collective::kAllReduce, *row.integer(*table->column("bytes")), shape));
    const double error = std::abs(ns / *row.number(*table->column("nanoseconds")) - 1);
    sum += error;
    worst = std::max(worst, error);
    ++count;
  }
  EXPECT_EQ(count, 60);
  EXPECT_LT(sum / count, 0.1);
  EXPECT_LT(worst, 0.25);
}

TEST(LinkCurve, StraightLineRoundsUp) {
  const LinkCost link(3e9, 50);
  EXPECT_EQ(link.transfer_ns(0), 0);
  EXPECT_EQ(link.transfer_ns(10), 4);
}

TEST(LinkCurve, PassesThroughItsPoints) {
  // 1000 bytes in 2000 ns, 3000 bytes in 3000 ns; 500 ns of it latency.
  const Result<LinkCost> link = LinkCost::from_points({{1000, 0.5e9}, {3000, 1e9}}, 500);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->transfer_ns(1000), 1500);
  EXPECT_EQ(link->transfer_ns(3000), 2500);
  EXPECT_EQ(link->transfer_ns(2000), 2000);  // half way
  EXPECT_EQ(link->transfer_ns(500), 750);    // towards an empty message
  EXPECT_EQ(link->transfer_ns(5000), 4500);  // beyond: 1 byte/ns
  EXPECT_EQ(link->latency_ns, 500);
}

TEST(LinkCurve, RefusesPointsThatGoBack) {
  EXPECT_FALSE(LinkCost::from_points({}, 0).ok());
  EXPECT_FALSE(LinkCost::from_points({{1000, -1}}, 0).ok());
  EXPECT_FALSE(LinkCost::from_points({{1000, 1e9}, {1000, 2e9}}, 0).ok());
  const Result<LinkCost> faster = LinkCost::from_points({{1000, 1e9}, {2000, 3e9}}, 0);
  ASSERT_FALSE(faster.ok());
  EXPECT_NE(faster.status().message().find("2000 bytes"), std::string::npos);
}

TEST(LinkCurve, ComesFromTheProfile) {
  DeviceInfo here, there;
  here.site = "s";
  there.site = "t";
  Profile profile;
  profile.links.push_back({"s", "t", 2e9, 500e-9, {{1000, 0.5e9}, {3000, 1e9}}});
  const Result<LinkCost> link = link_cost(here, there, {}, profile);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->transfer_ns(1000), 1500);
  EXPECT_EQ(link->transfer_ns(5000), 2500 + 1000);  // beyond the points: the link's bandwidth
  profile.links[0].points[1].bandwidth = 9e9;
  EXPECT_EQ(link_cost(here, there, {}, profile).status().origin(), "profile, link s - t");
}

}  // namespace
}  // namespace skarv
