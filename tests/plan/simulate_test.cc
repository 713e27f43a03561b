#include "plan/simulate/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "plan/cost/host_copy.h"
#include "plan/examples.h"
#include "plan/schedule/builder.h"
#include "support/random_schedule.h"

namespace skarv {
namespace {

struct World {
  skarv::Run run;
  Cluster cluster;
  Profile profile;
  Plan plan;
  SlabTable table;
  Ownership ownership;
  DeviceIndex devices;
  IslandCost cost;

  World(skarv::Run the_run, Cluster the_cluster, Profile the_profile, Island island)
      : run(std::move(the_run)),
        cluster(std::move(the_cluster)),
        profile(std::move(the_profile)),
        plan{{}, {std::move(island)}, {}, {}},
        table(run.model, 1),
        ownership(ownership_of(plan.islands[0], plan, table)),
        devices(index_devices(cluster).value()),
        cost(IslandCost::create(plan.islands[0], ownership, table, run, cluster, devices, profile)
                 .value()) {}
  const Island& island() const { return plan.islands[0]; }
  Schedule built() const { return build_schedule(island(), ownership, table, run).value(); }
  Result<StepTrace> tried(const Schedule& schedule, const StepSettings& settings = {}) const {
    return simulate(schedule, island(), ownership, cost, cluster, devices, profile, settings);
  }
  StepTrace simulated(const Schedule& schedule) const { return tried(schedule).value(); }
};

World two_stages() {
  Profile profile = small_profile({1});
  profile.links.push_back({"s/h0", "s/h1", 1e6, 1e-3});
  return World(small_run(2), cluster_of({{"s", {0, 0.5}}}), profile,
               {"s", {{1, 2, "1f1b", {{0, 2, {"s/h0/0"}}, {2, 4, {"s/h1/0"}}}}}});
}

// By hand, in microseconds. First stage (embedding, block): forward 11000, backward 21000; second
// (block, head) at half speed: 30000 and 60000. A border message: 1024 on the wire, 1000 latency.
//   a  F0 0-11000        F1 -22000     wait 105048  B0 -126048   wait 195048  B1 -216048
//   b  wait 13024  F0 -43024  B0 -103024  F1 -133024  B1 -193024
// clip: both there at 216048, 2000 for a round trip; update a 3000, b 3000 / 0.5.
TEST(Simulate, TwoStagesAsPricedByHand) {
  const World world = two_stages();
  const StepTrace trace = world.simulated(world.built());
  EXPECT_EQ(trace.step_ns, 224'048'000);
  const std::string page = read_file(std::string(SKARV_SOURCE_DIR) + "/docs/cost-model.md").value();
  EXPECT_THAT(page, testing::HasSubstr(cat("**", trace.step_ns / 1000, " us**")));
  EXPECT_THAT(trace.busy_ns, testing::ElementsAre(67'000'000, 186'000'000));
  EXPECT_EQ((trace.link_bytes.at({0, 1})), 2048);
  EXPECT_EQ((trace.link_bytes.at({1, 0})), 2048);
  ASSERT_EQ(trace.transfers[0].size(), 2u);  // activations of both microbatches
  EXPECT_EQ(trace.transfers[0][0].begin, 11'000'000);
  EXPECT_EQ(trace.transfers[0][0].end, 13'024'000);
  ASSERT_EQ(trace.transfers[1].size(), 2u);
  EXPECT_EQ(trace.transfers[1][1].begin, 193'024'000);
  EXPECT_EQ(trace.transfers[1][1].end, 195'048'000);
  const Schedule schedule = world.built();
  std::vector<std::string> compute;
  for (const Completed& done : completion_order(trace)) {
    const Action& action = schedule.actions[done.rank][done.index];
    if (action.kind == ActionKind::kForward || action.kind == ActionKind::kBackward) {
      compute.push_back(
          cat(action.kind == ActionKind::kForward ? "F" : "B", action.stage, action.microbatch));
    }
  }
  EXPECT_THAT(compute,
              testing::ElementsAre("F00", "F01", "F10", "B10", "B00", "F11", "B11", "B01"));
}

TEST(Simulate, MessagesThatWaitForTheLaneStartWhenTheLastHasLeft) {
  World world = two_stages();
  world.profile.links[0].bandwidth = 64e3;  // 16 ms a message, the next one follows after 11 ms
  const StepTrace trace = world.simulated(world.built());
  EXPECT_EQ(trace.transfers[0][0].begin, 11'000'000);
  EXPECT_EQ(trace.transfers[0][0].end, 11'000'000 + 16'000'000 + 1'000'000);
  EXPECT_EQ(trace.transfers[0][1].begin, 27'000'000);  // not 22 ms, when it was handed over
  StepSettings settings;
  settings.keep_spans = false;
  EXPECT_TRUE(world.tried(world.built(), settings)->transfers.empty());
}

// As above, but chips of two makers: 1024 bytes are copied to host memory and from there at 24 GB/s
// each, 43 ns a time; in whole ns a MiB, rounded down at the end: 1024 x 2 x 43691 / 2^20 = 85.
TEST(Simulate, MakersMeetInHostMemory) {
  Profile profile = small_profile({1}, "a100-sxm-80");
  const Profile other = small_profile({1}, "mi300x");
  profile.layers.insert(profile.layers.end(), other.layers.begin(), other.layers.end());
  profile.links.push_back({"s/h0", "s/h1", 1e6, 1e-3});
  Cluster cluster = cluster_of({{"s", {0, 0}}}, 0, "a100-sxm-80");
  cluster.sites[0].hosts[1].devices[0].chip = "mi300x";
  const World world(small_run(2), cluster, profile,
                    {"s", {{1, 2, "1f1b", {{0, 2, {"s/h0/0"}}, {2, 4, {"s/h1/0"}}}}}});
  const StepTrace trace = world.simulated(world.built());
  EXPECT_EQ(trace.transfers[0][0].end, 13'024'085);
  EXPECT_EQ(trace.transfers[1][0].end - trace.transfers[1][0].begin, 2'024'085);
}

TEST(HostCopy, BothEndsCopyButCpusAndNeighbours) {
  Cluster cluster = cluster_of({{"s", {0, 0, 0, 0}}, {"t", {0}}}, 0, "a100-sxm-80");
  cluster.sites[0].hosts[0].devices.push_back({"mi300x", 1, 0, 0, ""});  // s/h0/1
  cluster.sites[0].hosts[2].devices[0].chip = "mi300x";
  cluster.sites[0].hosts[3].devices[0].chip = "cpu";
  const DeviceIndex devices = index_devices(cluster).value();
  const auto copy = [&](const char* a, const char* b) {
    return host_copy_ns_per_mib(devices.at(a), devices.at(b));
  };
  EXPECT_EQ(copy("s/h0/0", "s/h2/0"), 2 * 43'691);  // 2^20 bytes at 24 bytes/ns
  EXPECT_EQ(copy("s/h0/0", "t/h0/0"), 2 * 43'691);  // one maker, but over TCP
  EXPECT_EQ(copy("s/h0/0", "s/h3/0"), 43'691);
  EXPECT_EQ(copy("s/h3/0", "s/h0/0"), 43'691);
  EXPECT_EQ(copy("s/h0/0", "s/h1/0"), 0);
  EXPECT_EQ(copy("s/h0/0", "s/h0/1"), 0);  // half the link's bandwidth instead
}

TEST(Simulate, GroupsReduceAndGatherOverTheirSlowestLink) {
  Profile profile = small_profile({1});
  profile.links.push_back({"s/h0", "s/h1", 1e6, 1e-3});
  const World world(
      small_run(2), cluster_of({{"s", {0, 0}}}), profile,
      {"s", {{1, 1, "1f1b", {{0, 4, {"s/h0/0"}}}}, {1, 1, "1f1b", {{0, 4, {"s/h1/0"}}}}}});
  const StepTrace trace = world.simulated(world.built());
  int64_t owned[2] = {0, 0};
  for (int slab = 0; slab < world.table.size(); ++slab) {
    owned[world.ownership.owner[slab]] += world.table[slab].size();
  }
  // Per sample 26 ms forward, 25 + 26 ms backward; 4 bytes an element at 1 byte a microsecond.
  const int64_t transfer = 1'000'000 + 4000 * std::max(owned[0], owned[1]);
  const auto update = std::max(trace.busy_ns[0], trace.busy_ns[1]) - 77'000'000;
  EXPECT_EQ(trace.step_ns, 77'000'000 + 2 * transfer + 2'000'000 + update);
}

TEST(Simulate, RandomSchedulesRunInTheirOrderWithTheirBytes) {
  const skarv::Run run = small_run(12, 6);
  Island island{"s", {}};
  island.pipelines.push_back(
      {2, 7, "1f1b", {{0, 3, {"s/h0/0"}}, {3, 5, {"s/h1/0"}}, {5, 8, {"s/h0/0"}}}});
  island.pipelines.push_back({1, 5, "1f1b", {{0, 4, {"s/h2/0"}}, {4, 8, {"s/h3/0"}}}});
  const World world(run, cluster_of({{"s", {0.7, 0.3, 0.4, 0.2}}}), small_profile({1, 2}), island);
  int64_t fastest = INT64_MAX, slowest = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Schedule schedule = random_schedule(world.island(), world.ownership, world.table,
                                              run.model, run.precision, seed);
    const StepTrace trace = world.simulated(schedule);
    std::vector<int> next(schedule.devices.size(), 0);
    int64_t last_end = 0, bytes = 0, expected_bytes = 0, busy = 0;
    for (const Completed& done : completion_order(trace)) {
      EXPECT_EQ(done.index, next[done.rank]++);
      const ActionSpan& span = trace.spans[done.rank][done.index];
      EXPECT_LE(last_end, span.end);
      EXPECT_LE(span.begin, span.end);
      last_end = span.end;
    }
    for (size_t rank = 0; rank < next.size(); ++rank) {
      EXPECT_EQ(next[rank], static_cast<int>(schedule.actions[rank].size()));
      busy = std::max(busy, trace.busy_ns[rank]);
      for (const Action& action : schedule.actions[rank]) {
        if (action.kind == ActionKind::kSendActivation ||
            action.kind == ActionKind::kSendGradient) {
          expected_bytes += action.bytes;
        }
      }
    }
    for (const auto& [link, moved] : trace.link_bytes) bytes += moved;
    EXPECT_EQ(bytes, expected_bytes);
    EXPECT_GE(trace.step_ns, busy);
    EXPECT_EQ(world.simulated(schedule).step_ns, trace.step_ns);
    fastest = std::min(fastest, trace.step_ns);
    slowest = std::max(slowest, trace.step_ns);
  }
  EXPECT_LT(fastest, slowest);
}

TEST(Simulate, ZeroBubbleIsFasterThanOneForwardOneBackward) {
  const auto step_of = [](const std::string& schedule) {
    const World world(
        small_run(8, 8), cluster_of({{"s", {0, 0, 0, 0}}}), small_profile({1}),
        {"s",
         {{1,
           8,
           schedule,
           {{0, 3, {"s/h0/0"}}, {3, 5, {"s/h1/0"}}, {5, 7, {"s/h2/0"}}, {7, 10, {"s/h3/0"}}}}}});
    return world.simulated(world.built()).step_ns;
  };
  EXPECT_LT(step_of("zero-bubble"), step_of("1f1b"));
  EXPECT_LE(step_of("1f1b"), step_of("gpipe"));
}

TEST(Simulate, RefusesWhatWouldWaitForEver) {
  const World world = two_stages();
  Schedule schedule = world.built();
  std::swap(schedule.actions[1][0], schedule.actions[1][1]);
  EXPECT_EQ(world.tried(schedule).status().code(), Code::kInvalidArgument);
}

TEST(LinkCost, MeasuredBeforeStatedBeforeAssumed) {
  Cluster cluster = cluster_of({{"s", {0, 0}}, {"t", {0}}});
  cluster.sites[0].hosts[0].devices[0].count = 2;
  cluster.sites[0].hosts[0].devices.push_back({"toy", 1, 0, 0, ""});
  const DeviceIndex devices = index_devices(cluster).value();
  Profile profile;
  const auto link = [&](const char* a, const char* b) {
    return link_cost(devices.at(a), devices.at(b), cluster, profile).value();
  };
  EXPECT_EQ(link("s/h0/0", "s/h0/1").bandwidth, 5e9);
  EXPECT_EQ(link("s/h0/0", "s/h0/2").bandwidth, 2.5e9);  // two makers: over host memory
  EXPECT_EQ(link("s/h0/0", "s/h1/0").bandwidth, 1.25e9);
  cluster.sites[0].hosts[1].network_bandwidth = 1e8;
  EXPECT_EQ(link("s/h0/0", "s/h1/0").bandwidth, 1e8);
  EXPECT_EQ(link("s/h0/0", "t/h0/0").bandwidth, 12.5e6);
  EXPECT_EQ(link("s/h0/0", "t/h0/0").latency_ns, 50'000'000);
  cluster.links[0].loss = 1e-3;  // two CUBIC streams of 1448 / 0.1 * sqrt(1500) bytes/s
  EXPECT_NEAR(link("s/h0/0", "t/h0/0").bandwidth, 1.1216e6, 1e2);
  cluster.links[0].loss = 0;
  cluster.sites[1].uplink_bandwidth = 1e6;
  EXPECT_EQ(link("s/h0/0", "t/h0/0").bandwidth, 1e6);
  profile.links.push_back({"t", "s", 2e6, 0.01});
  EXPECT_EQ(link("s/h0/0", "t/h0/0").bandwidth, 2e6);
  profile.links.push_back({"s/h0/0", "t/h0/0", 3e6, 0.01});
  EXPECT_EQ(link("s/h0/0", "t/h0/0").bandwidth, 3e6);
  cluster.links.clear();
  EXPECT_EQ(
      link_cost(devices.at("s/h1/0"), devices.at("t/h0/0"), cluster, Profile{}).status().code(),
      Code::kNotFound);
}

}  // namespace
}  // namespace skarv
