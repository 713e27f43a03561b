#include "plan/search/refine.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/examples.h"

namespace skarv {
namespace {

// A plan on its own, priced and refined as the planner does.
class Bench {
 public:
  Bench(const skarv::Run& run, const Cluster& cluster, const Profile& profile)
      : cluster_(cluster),
        profile_(profile),
        workload_(Workload::from_run(run, profile).value()),
        devices_(index_devices(cluster_).value()),
        hosts_(index_hosts(cluster_)),
        table_(run.model, 1),
        world_{workload_, cluster_, devices_, hosts_, profile_, run.precision},
        pricer_(world_, &table_, book_) {}

  int64_t step_ns(const Island& island) const {
    return pricer_.play(island, {}).value().trace.step_ns;
  }
  PricedPlan refined(const Island& island) const {
    PricedPlan plan{{}, {step_ns(island)}};
    plan.plan.islands = {island};
    EXPECT_EQ(refine(pricer_, {}, 1'000'000, plan).value(), plan.island_ns[0]);
    return plan;
  }

 private:
  const Cluster cluster_;
  const Profile profile_;
  const Workload workload_;
  const DeviceIndex devices_;
  const HostIndex hosts_;
  const SlabTable table_;
  const StepWorld world_;
  PriceBook book_;
  const Pricer pricer_;
};

// Four pipelines over two devices each, two stages a device.
Island four_by_two(const std::vector<int>& borders) {
  Island island{"north", {}};
  for (int p = 0; p < 4; ++p) {
    Pipeline pipeline{1, 32, "zero-bubble", {}};
    for (int s = 0; s < 4; ++s) {
      pipeline.stages.push_back({borders[s], borders[s + 1], {cat("north/a/", p + s % 2 * 4)}, 1});
    }
    island.pipelines.push_back(pipeline);
  }
  return island;
}

// No single layer over one border makes this plan faster, two do.
TEST(Refine, MovesLayersOverTwoBordersAtOnce) {
  skarv::Run run;
  run.model = {128256, 4096, 32, 32, 8, 128, 14336, 8192};
  run.precision = Precision::kBf16;
  run.global_batch = 128;
  const Cluster cluster =
      read_cluster(cat(SKARV_SOURCE_DIR, "/bench/clusters/one_type_8.toml")).value();
  const std::string chip = cluster.sites[0].hosts[0].devices[0].chip;
  const Bench bench(run, cluster, estimate_profile(run, {chip}).value());
  const int64_t before = bench.step_ns(four_by_two({0, 10, 18, 26, 34}));
  const int64_t better = bench.step_ns(four_by_two({0, 10, 19, 27, 34}));
  ASSERT_LT(better, before);
  EXPECT_LE(bench.refined(four_by_two({0, 10, 18, 26, 34})).island_ns[0], better);
}

// Two pipelines whose gradients go over a slow network, although those who hold the same layers
// would fit on a host.
TEST(Refine, SwapsDevices) {
  const skarv::Run run = small_run(8);
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 2, 0, 2e5, 1e-3, {}}}});
  cluster.sites[0].hosts[0].devices.push_back({"cpu", 2, 1'000'000'000, 0, ""});
  const Bench bench(run, cluster, small_profile({1, 2, 4, 8}));
  Island island{"s", {}};
  island.pipelines.push_back({1, 4, "1f1b", {{0, 2, {"s/h0/0"}}, {2, 4, {"s/h1/0"}}}});
  island.pipelines.push_back({1, 4, "1f1b", {{0, 2, {"s/h1/1"}}, {2, 4, {"s/h0/1"}}}});
  const PricedPlan plan = bench.refined(island);
  EXPECT_LT(plan.island_ns[0], bench.step_ns(island));
  const std::vector<Pipeline>& pipelines = plan.plan.islands[0].pipelines;
  for (size_t stage = 0; stage < 2; ++stage) {
    const auto host = [&](int p) { return pipelines[p].stages[stage].devices[0].substr(0, 4); };
    EXPECT_EQ(host(0), host(1));
  }
}

}  // namespace
}  // namespace skarv
