#include "plan/search/assembly.h"

#include <gtest/gtest.h>

#include "plan/cost/fold.h"
#include "plan/cost/roofline.h"

namespace skarv {
namespace {

// 27 replicas of two half hosts each: the second stage would begin in the middle of a host, other
// neighbours would share each, and no two replicas were alike for the simulator.
TEST(Assembly, StagesOfManyReplicasFillWholeHosts) {
  skarv::Run run;
  run.model = {1000, 512, 4, 8, 8, 64, 1024, 256};
  run.precision = Precision::kBf16;
  run.global_batch = 54;
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 27, 0, 1e11, 1e-5, {{"a100-sxm-80", 8, 0, 0, ""}}}}});
  const Profile profile = estimate_profile(run, {"a100-sxm-80"}).value();
  const Workload workload = Workload::from_run(run, profile).value();
  const World world =
      World::create(workload, cluster, profile, run.precision, 0, PlannerLimits{}).value();
  IslandShape island;
  PipelineGroup& group = island.groups.emplace_back();
  group.pipeline.stages = {{0, 4, 0, 3}, {0, 4, 3, 6}};
  group.replicas = 27;
  group.samples = 2;
  const std::optional<Assembled> assembled = assemble(world, island, "s");
  ASSERT_TRUE(assembled.has_value());
  EXPECT_EQ(assembled->used.size(), 216u);
  const Fold fold = fold_island(assembled->island, index_devices(cluster).value(),
                                index_hosts(cluster), FoldRules{{}, {}, false});
  EXPECT_LE(fold.island.pipelines.size(), 2u);
}

}  // namespace
}  // namespace skarv
