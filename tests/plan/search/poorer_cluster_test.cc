#include "plan/search/poorer_cluster.h"

#include <gtest/gtest.h>

#include <set>

#include "plan/search/exhaustive.h"

namespace skarv {
namespace {

// Two hosts of three devices, of which the last differs.
struct Scene {
  SmallCase small = random_case(7);
  Scene() {
    small.cluster = {};
    small.cluster.sites.push_back({"s", 0, {{"h", 2, 0, 1e9, 1e-5, {}}}});
    std::vector<DeviceGroup>& devices = small.cluster.sites[0].hosts[0].devices;
    devices = {{"a100-sxm-80", 2, 40'000'000'000, 0, ""}, {"h20", 1, 0, 0, ""}};
  }
  DeviceIndex index() const { return index_devices(small.cluster).value(); }
};

TEST(PoorerCluster, WithLessMemoryEveryDeviceKeepsItsName) {
  const Scene scene;
  const PoorerCluster less = with_less_memory(scene.small.cluster, scene.index());
  const DeviceIndex devices = index_devices(less.cluster).value();
  ASSERT_EQ(devices.size(), 6u);
  for (const auto& [name, device] : scene.index()) {
    EXPECT_EQ(less.real_names.at(name), name);
    EXPECT_EQ(devices.at(name).chip.name, device.chip.name);
    EXPECT_EQ(devices.at(name).memory_bytes, device.memory_bytes * 3 / 4);
  }
  EXPECT_EQ(devices.at("s/h0/0").memory_bytes, 30'000'000'000);
}

TEST(PoorerCluster, ADeviceOfEachTypeIsLeftOut) {
  const Scene scene;
  const Workload workload = Workload::from_run(scene.small.run, scene.small.profile).value();
  const World world = World::create(workload, scene.small.cluster, scene.small.profile,
                                    scene.small.run.precision, 0, {})
                          .value();
  const std::vector<PoorerCluster> all = without_a_device(world, scene.small.cluster);
  ASSERT_EQ(all.size(), 2u);
  for (const PoorerCluster& one : all) {
    const DeviceIndex devices = index_devices(one.cluster).value();
    ASSERT_EQ(devices.size(), 5u);
    ASSERT_EQ(one.real_names.size(), 5u);
    for (const auto& [name, real] : one.real_names) {
      EXPECT_EQ(devices.at(name).chip.name, scene.index().at(real).chip.name);
    }
  }
}

// A device that was added alone is left out alone, whatever is like it elsewhere.
TEST(PoorerCluster, WhatIsOnAnotherKindOfHostIsLeftOutToo) {
  Scene scene;
  HostGroup added = scene.small.cluster.sites[0].hosts[0];
  added.name = "added";
  added.count = 1;
  added.devices.erase(added.devices.begin());
  scene.small.cluster.sites[0].hosts.push_back(added);
  const Workload workload = Workload::from_run(scene.small.run, scene.small.profile).value();
  const World world = World::create(workload, scene.small.cluster, scene.small.profile,
                                    scene.small.run.precision, 0, {})
                          .value();
  std::set<std::string> left_out;
  for (const PoorerCluster& one : without_a_device(world, scene.small.cluster)) {
    std::set<std::string> there;
    for (const auto& [name, real] : one.real_names) there.insert(real);
    for (const auto& [name, device] : scene.index()) {
      if (!there.contains(name)) left_out.insert(name);
    }
  }
  EXPECT_EQ(left_out, (std::set<std::string>{"s/h1/1", "s/h1/2", "s/added/0"}));
}

TEST(PoorerCluster, APlanGetsTheRealNames) {
  Plan plan;
  plan.islands.push_back({"s", {{1, 2, "1f1b", {{0, 3, {"s/h0/0", "s/h0/1"}}}}}});
  plan.owner_share = {{"s/h0/0", 2}};
  rename_devices({{"s/h0/0", "s/h0/1"}, {"s/h0/1", "s/h1/0"}}, plan);
  EXPECT_EQ(plan.islands[0].pipelines[0].stages[0].devices,
            (std::vector<std::string>{"s/h0/1", "s/h1/0"}));
  EXPECT_EQ(plan.owner_share, (std::map<std::string, double>{{"s/h0/1", 2}}));
}

}  // namespace
}  // namespace skarv
