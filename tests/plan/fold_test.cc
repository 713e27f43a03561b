#include "plan/cost/fold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

// Hosts of `per_host` equal devices, "s/h<i>/<j>", with NICs of this many bytes/s.
Cluster hosts_of(int num_hosts, int per_host, double bandwidth, const std::string& chip = "cpu") {
  Cluster cluster;
  Site site{"s", 0, {}};
  HostGroup host{"h", num_hosts, 0, bandwidth, 1e-5, {}};
  host.devices.push_back({chip, per_host, 1'000'000'000, 0, ""});
  site.hosts.push_back(host);
  cluster.sites.push_back(site);
  return cluster;
}

struct World {
  skarv::Run run = small_run(64, 6);
  Cluster cluster;
  Profile profile = small_profile({1});
  DeviceIndex devices;
  HostIndex hosts;
  Workload workload;

  explicit World(Cluster the_cluster)
      : cluster(std::move(the_cluster)),
        devices(index_devices(cluster).value()),
        hosts(index_hosts(cluster)),
        workload(Workload::from_run(run, with_degrees()).value()) {}
  // As if a degree of 2 halved all times.
  Profile with_degrees() {
    const std::vector<LayerTime> one = profile.layers;
    for (LayerTime time : one) {
      time.tensor_parallel = 2;
      time.forward /= 2, time.backward_input /= 2, time.backward_weight /= 2;
      profile.layers.push_back(time);
    }
    return profile;
  }
  IslandStep step(const Island& island, bool whole) const {
    const StepWorld world{workload, cluster, devices, hosts, profile, Precision::kFp32};
    StepSettings settings;
    settings.whole = whole;
    return simulate_island(island, {}, world, settings).value();
  }
};

void expect_equal(const World& world, const Island& island, int num_folded) {
  const IslandStep whole = world.step(island, true), folded = world.step(island, false);
  EXPECT_EQ(folded.fold.num_ranks(), num_folded);
  EXPECT_EQ(whole.fold.num_ranks(), static_cast<int>(island.devices().size()));
  EXPECT_EQ(folded.trace.step_ns, whole.trace.step_ns);
  for (size_t rank = 0; rank < whole.fold.folded_rank.size(); ++rank) {
    const int one = whole.fold.folded_rank[rank], other = folded.fold.folded_rank[rank];
    // Shares of the optimizer are whole elements: one more or less is a microsecond here.
    EXPECT_NEAR(folded.trace.use[other].bubble_ns, whole.trace.use[one].bubble_ns, 2000) << rank;
    EXPECT_EQ(folded.trace.use[other].exposed_ns, whole.trace.use[one].exposed_ns) << rank;
  }
}

TEST(Fold, ReplicasThatShareNicsAreSimulatedOnce) {
  // Four pipelines over two hosts of four devices each: eight flows on two NICs, which are slow
  // enough to matter: 1 kB a message, 10 ms of computing.
  const World world(hosts_of(2, 4, 2e5));
  Island island{"s", {}};
  for (int i = 0; i < 4; ++i) {
    island.pipelines.push_back(
        {1, 8, "1f1b", {{0, 4, {cat("s/h0/", i)}}, {4, 8, {cat("s/h1/", i)}}}});
  }
  expect_equal(world, island, 2);
  EXPECT_GT(world.step(island, false).trace.use[0].exposed_ns, 0);
}

TEST(Fold, OtherPlacesAreOtherClasses) {
  // The second pair of pipelines has both stages on one host: no NIC.
  const World world(hosts_of(3, 2, 2e5));
  Island island{"s", {}};
  for (int i = 0; i < 2; ++i) {
    island.pipelines.push_back(
        {1, 8, "1f1b", {{0, 4, {cat("s/h0/", i)}}, {4, 8, {cat("s/h1/", i)}}}});
  }
  island.pipelines.push_back({1, 8, "1f1b", {{0, 4, {"s/h2/0"}}, {4, 8, {"s/h2/1"}}}});
  expect_equal(world, island, 4);
}

TEST(Fold, ChainsOfATensorParallelPipelineAreOne) {
  const World world(hosts_of(2, 4, 2e5));
  Island island{"s", {}};
  for (int i = 0; i < 2; ++i) {
    const auto pair = [&](int host) {
      return std::vector<std::string>{cat("s/h", host, "/", 2 * i),
                                      cat("s/h", host, "/", 2 * i + 1)};
    };
    island.pipelines.push_back({1, 16, "1f1b", {{0, 4, pair(0), 2}, {4, 8, pair(1), 2}}});
  }
  expect_equal(world, island, 2);
}

TEST(Fold, UnequalDegreesKeepTheirMembers) {
  const World world(hosts_of(3, 2, 2e5));
  Island island{"s", {{1, 8, "1f1b", {{0, 4, {"s/h0/0", "s/h0/1"}, 2}, {4, 8, {"s/h1/0"}}}}}};
  expect_equal(world, island, 3);
}

TEST(Fold, AStragglerIsAClassOfItsOwn) {
  const World world(hosts_of(4, 2, 2e5));
  Island island{"s", {}};
  for (int i = 0; i < 4; ++i) {
    island.pipelines.push_back(
        {1, 8, "1f1b", {{0, 4, {cat("s/h", i, "/0")}}, {4, 8, {cat("s/h", i, "/1")}}}});
  }
  const StepWorld step_world{world.workload, world.cluster, world.devices,
                             world.hosts,    world.profile, Precision::kFp32};
  StepSettings settings;
  settings.slowdown["s/h2/1"] = 1.5;
  const IslandStep slow = simulate_island(island, {}, step_world, settings).value();
  EXPECT_EQ(slow.fold.num_ranks(), 4);
  EXPECT_THAT(slow.fold.multiplier, testing::ElementsAre(3, 1));
  EXPECT_GT(slow.trace.step_ns, world.step(island, false).trace.step_ns);
  EXPECT_THAT(slow.schedule.devices[slow.trace.use[0].awaited], testing::StartsWith("s/h2/"));
}

TEST(Fold, AGroupIsAsSlowAsItsSlowest) {
  const World world(hosts_of(2, 2, 2e5));
  const Island island{
      "s", {{1, 8, "1f1b", {{0, 4, {"s/h0/0", "s/h0/1"}, 2}, {4, 8, {"s/h1/0", "s/h1/1"}, 2}}}}};
  const StepWorld step_world{world.workload, world.cluster, world.devices,
                             world.hosts,    world.profile, Precision::kFp32};
  StepSettings settings;
  settings.slowdown["s/h1/1"] = 2;
  const IslandStep one = simulate_island(island, {}, step_world, settings).value();
  settings.slowdown["s/h1/0"] = 2;
  const IslandStep both = simulate_island(island, {}, step_world, settings).value();
  EXPECT_EQ(one.fold.num_ranks(), 4);
  EXPECT_EQ(one.trace.spans[2][1].end, both.trace.spans[2][1].end);  // the first forward
  EXPECT_GT(one.trace.step_ns, world.step(island, false).trace.step_ns);
  settings.slowdown.clear();
  settings.jitter = 0.2;
  const IslandStep noisy = simulate_island(island, {}, step_world, settings).value();
  EXPECT_EQ(noisy.trace.spans[2][1].end, noisy.trace.spans[3][1].end);
}

TEST(Fold, ThousandsOfDevicesAreAHandful) {
  const World world(hosts_of(512, 8, 1e9));
  Island island{"s", {}};
  for (int i = 0; i < 4096; i += 2) {
    island.pipelines.push_back(
        {1,
         4,
         "1f1b",
         {{0, 4, {cat("s/h", i / 8, "/", i % 8)}}, {4, 8, {cat("s/h", i / 8, "/", i % 8 + 1)}}}});
  }
  const IslandStep step = world.step(island, false);
  EXPECT_EQ(step.fold.num_ranks(), 2);
  EXPECT_THAT(step.fold.multiplier, testing::ElementsAre(2048));
}

}  // namespace
}  // namespace skarv
