#include "plan/search/refine.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/examples.h"
#include "plan/search/edit_draw.h"
#include "plan/search/trials.h"

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
  std::vector<PipelineUse> use(const Island& island) const {
    return pricer_.use(island, {}).value();
  }
  PricedPlan refined(const Island& island, int64_t most_actions = 1'000'000) const {
    PricedPlan plan{{}, {step_ns(island)}};
    plan.plan.islands = {island};
    Tried tried;
    EXPECT_EQ(refine(pricer_, {}, {most_actions}, tried, plan).value(), plan.island_ns[0]);
    return plan;
  }

  const Pricer& pricer() const { return pricer_; }

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

skarv::Run llama_8b() {
  skarv::Run run;
  run.model = {128256, 4096, 32, 32, 8, 128, 14336, 8192};
  run.precision = Precision::kBf16;
  run.global_batch = 128;
  return run;
}

// No single layer over one border makes this plan faster, two do.
TEST(Refine, MovesLayersOverTwoBordersAtOnce) {
  const skarv::Run run = llama_8b();
  const Cluster cluster =
      read_cluster(cat(SKARV_SOURCE_DIR, "/bench/clusters/one_type_8.toml")).value();
  const std::string chip = cluster.sites[0].hosts[0].devices[0].chip;
  const Bench bench(run, cluster, estimate_profile(run, {chip}).value());
  const int64_t before = bench.step_ns(four_by_two({0, 10, 18, 26, 34}));
  const int64_t better = bench.step_ns(four_by_two({0, 10, 19, 27, 34}));
  ASSERT_LT(better, before);
  EXPECT_LE(bench.refined(four_by_two({0, 10, 18, 26, 34})).island_ns[0], better);
}

// The first orders of the better cut are 4 % behind, the best one is ahead.
TEST(Refine, TakesWhatOnlyBetterOrdersMakeFaster) {
  const skarv::Run run = llama_8b();
  const Cluster cluster =
      read_cluster(cat(SKARV_SOURCE_DIR, "/bench/clusters/two_types_16.toml")).value();
  const Bench bench(run, cluster, estimate_profile(run, {"a100-sxm-80", "h20"}).value());
  const auto cut_at = [](const std::vector<int>& borders) {
    Island island = four_by_two(borders);
    for (Pipeline& pipeline : island.pipelines) pipeline.samples = 21;
    for (int p = 0; p < 4; ++p) {
      Pipeline slow = island.pipelines[p];
      slow.samples = 11;
      for (Stage& stage : slow.stages) stage.devices[0].replace(6, 1, "h");  // north/h/...
      island.pipelines.push_back(slow);
    }
    return island;
  };
  const int64_t better = bench.step_ns(cut_at({0, 5, 14, 27, 34}));
  ASSERT_LT(better, bench.step_ns(cut_at({0, 6, 14, 26, 34})));
  EXPECT_LE(bench.refined(cut_at({0, 6, 14, 26, 34})).island_ns[0], better);
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

Cluster four_devices() {
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 1, 0, 1e9, 1e-4, {}}}});
  cluster.sites[0].hosts[0].devices.push_back({"cpu", 4, 1'000'000'000, 0, ""});
  return cluster;
}

// Of 66 devices in a row: the first has two layers, the last three recompute.
TEST(Trials, LookAtTheEndsOfRowsOfLikeStages) {
  Cluster cluster = four_devices();
  cluster.sites[0].hosts[0].devices[0].count = 70;
  const Bench bench(small_run(8), cluster, small_profile({1, 2, 4, 8}));
  const auto telling = [&](int num_stages) {
    Pipeline pipeline{1, 8, "zero-bubble", {}};
    for (int s = 0; s < num_stages; ++s) {
      const int first = s == 0 ? 0 : s + 1;
      pipeline.stages.push_back({first, s + 2, {cat("s/h/", s)}, 1});
      if (s + 3 >= num_stages) pipeline.stages.back().recompute = Recompute::kFull;
    }
    PricedPlan plan{{}, {1}};
    plan.plan.islands = {{"s", {pipeline}}};
    Tried tried;
    const PlannerLimits limits;
    return Trials(bench.pricer(), limits, 1, 1, tried, plan).telling_stages(0, 0);
  };
  EXPECT_EQ(telling(66), (std::vector<size_t>{0, 1, 62, 63, 65}));
  EXPECT_EQ(telling(6).size(), 6);  // all of a small one
}

// Forty samples are too many for single ones to be moved one after the other.
TEST(Refine, SharesManySamplesAtOnce) {
  const Bench bench(small_run(128), four_devices(), small_profile({1, 2, 4, 8}));
  Island island{"s", {}};
  island.pipelines.push_back({1, 104, "1f1b", {{0, 2, {"s/h/0"}}, {2, 4, {"s/h/1"}}}});
  island.pipelines.push_back({1, 24, "1f1b", {{0, 2, {"s/h/2"}}, {2, 4, {"s/h/3"}}}});
  const PricedPlan plan = bench.refined(island, 12'000);
  EXPECT_EQ(plan.plan.islands[0].pipelines[0].samples, 64);
  EXPECT_LT(plan.island_ns[0], bench.step_ns(island) * 7 / 10);
}

TEST(Refine, SeesWhatPipelinesDo) {
  const Bench bench(small_run(12), four_devices(), small_profile({1, 2, 4, 8}));
  Island island{"s", {}};
  island.pipelines.push_back({1, 8, "1f1b", {{0, 1, {"s/h/0"}}, {1, 4, {"s/h/1"}}}});
  island.pipelines.push_back({1, 4, "zero-bubble", {{0, 1, {"s/h/2"}}, {1, 4, {"s/h/3"}}}});
  const std::vector<PipelineUse> use = bench.use(island);
  ASSERT_EQ(use.size(), 2);
  for (size_t s = 0; s < 2; ++s) EXPECT_EQ(use[0].busy_ns[s], 2 * use[1].busy_ns[s]);
  for (const PipelineUse& one : use) EXPECT_LT(one.busy_ns[0], one.busy_ns[1]);
  EXPECT_GT(use[0].end_ns, use[1].end_ns);
  EXPECT_GT(use[0].end_ns, use[0].busy_ns[1]);
  EXPECT_LT(use[0].end_ns, bench.step_ns(island));
}

std::vector<std::string> devices_of(const Pipeline& pipeline) {
  return Island{"", {pipeline}}.devices();
}

// Two pipelines that are cut differently, each on a host of its own: their gradients cross the slow
// network stage by stage, until devices are dealt out by stages.
TEST(Refine, DealsDevicesAnew) {
  const DeviceIndex devices =
      index_devices(parse_cluster("[[site]]\nname = \"s\"\n[[site.host]]\nname = \"h\"\ncount = 2\n"
                                  "devices = [{chip = \"cpu\", count = 2}]\n",
                                  "test")
                        .value())
          .value();
  Island island{"s", {}};
  island.pipelines.push_back({1, 4, "1f1b", {{0, 2, {"s/h0/0"}}, {2, 4, {"s/h0/1"}}}});
  island.pipelines.push_back({1, 4, "1f1b", {{0, 3, {"s/h1/0"}}, {3, 4, {"s/h1/1"}}}});
  Island by_stage = island;
  ASSERT_TRUE(deal_anew(devices, {0, 1}, true, by_stage));
  EXPECT_EQ(by_stage.pipelines[0].stages[0].devices[0], "s/h0/0");
  EXPECT_EQ(by_stage.pipelines[1].stages[0].devices[0], "s/h0/1");
  EXPECT_EQ(by_stage.pipelines[0].stages[1].devices[0], "s/h1/0");
  EXPECT_EQ(by_stage.pipelines[1].stages[1].devices[0], "s/h1/1");
  EXPECT_EQ(by_stage.pipelines[1].stages[0].last, 3);
  Island by_pipeline = by_stage;
  ASSERT_TRUE(deal_anew(devices, {0, 1}, false, by_pipeline));
  EXPECT_EQ(devices_of(by_pipeline.pipelines[0]), devices_of(island.pipelines[0]));
  EXPECT_FALSE(deal_anew(devices, {0, 1}, false, by_pipeline));  // nothing would change
}

// Whatever is drawn is a plan with all samples and layers, of devices that are not used twice.
TEST(Refine, DrawnEditsAreValidPlans) {
  skarv::Run run = small_run(32, 10);
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 3, 0, 2e5, 1e-4, {}}}});
  cluster.sites[0].hosts[0].devices.push_back({"cpu", 4, 1'000'000'000, 0, ""});
  Plan plan{digest_of(run.model), {{"s", {}}}, {}, {}};
  for (int p = 0; p < 4; ++p) {
    Pipeline pipeline{1, 8, p < 2 ? "1f1b" : "zero-bubble", {}};
    for (int s = 0; s < 3; ++s)
      pipeline.stages.push_back({4 * s, 4 * s + 4, {cat("s/h", s, "/", p)}});
    plan.islands[0].pipelines.push_back(pipeline);
  }
  const DeviceIndex devices = index_devices(cluster).value();
  const PlannerLimits limits;
  EditDraw draws(devices, limits);
  int num_changed = 0;
  for (int i = 0; i < 2000; ++i) {
    for (const auto& [index, island] : draws.next(plan.islands, 0)) {
      Plan changed = plan;
      changed.islands[index] = island;
      const Status checked = check_plan(changed, run.model, run, cluster);
      ASSERT_TRUE(checked.ok()) << i << ": " << checked;
      ++num_changed;
    }
  }
  EXPECT_GT(num_changed, 1000);
}

}  // namespace
}  // namespace skarv
