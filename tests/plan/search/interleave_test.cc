#include "plan/search/interleave.h"

#include <gtest/gtest.h>

#include "plan/examples.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

Island two_stages(int layers) {
  const int cut = layers / 2;
  return {"north",
          {{1, 8, "zero-bubble", {{0, cut, {"north/h0/0"}}, {cut, layers, {"north/h1/0"}}}}}};
}

TEST(Interleave, HalvesFollowEachOtherWithAsManyLayersADevice) {
  const std::optional<Island> island = interleave(two_stages(10));
  ASSERT_TRUE(island.has_value());
  const std::vector<Stage>& stages = island->pipelines[0].stages;
  ASSERT_EQ(stages.size(), 4);
  const int ends[] = {3, 6, 8, 10};
  for (int s = 0; s < 4; ++s) {
    EXPECT_EQ(stages[s].first, s == 0 ? 0 : ends[s - 1]);
    EXPECT_EQ(stages[s].last, ends[s]);
    EXPECT_EQ(stages[s].devices, two_stages(10).pipelines[0].stages[s % 2].devices);
  }
  EXPECT_FALSE(interleave(*island).has_value());        // once is enough
  EXPECT_FALSE(interleave(two_stages(3)).has_value());  // a layer cannot be halved
}

TEST(Interleave, ShortensTheRamp) {
  const skarv::Run run = small_run(8, 8);
  const Profile profile = small_profile({1});
  const Workload workload = Workload::from_run(run, profile).value();
  const Cluster cluster = cluster_of({{"north", {1, 1}}});
  const DeviceIndex devices = index_devices(cluster).value();
  const HostIndex hosts = index_hosts(cluster);
  const StepWorld world{workload, cluster, devices, hosts, profile};
  const auto step_ns = [&](const Island& island) {
    return simulate_island(island, {}, world).value().trace.step_ns;
  };
  EXPECT_LT(step_ns(*interleave(two_stages(10))), step_ns(two_stages(10)));
}

}  // namespace
}  // namespace skarv
