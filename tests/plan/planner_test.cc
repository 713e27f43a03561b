#include "plan/search/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>

#include "plan/examples.h"
#include "plan/search/chooser.h"
#include "plan/search/refine.h"
#include "plan/simulate/plan_step.h"

namespace skarv {
namespace {

using testing::HasSubstr;
using testing::Not;

// The demo's four devices: speeds 0.7, 0.3 and 0.4, 0.2.
Cluster demo_cluster(int64_t memory_bytes = 1'000'000'000) {
  return cluster_of({{"north", {0.7, 0.3}}, {"south", {0.4, 0.2}}}, memory_bytes);
}

// Equal shares, whatever the devices are.
Plan naive_plan(const skarv::Run& run, const Cluster& cluster) {
  Plan plan;
  plan.model = digest_of(run.model);
  const std::vector<DeviceInfo> devices = expand_devices(cluster).value();
  for (const Site& site : cluster.sites) {
    Island island{site.name, {}};
    for (const DeviceInfo& device : devices) {
      if (device.site != site.name) continue;
      const auto share = run.global_batch / static_cast<int64_t>(devices.size());
      island.pipelines.push_back({1, share, "1f1b", {{0, run.model.num_layers(), {device.name}}}});
    }
    plan.islands.push_back(island);
  }
  return plan;
}

TEST(Planner, BeatsEqualSharesAndNearsTheIntegerBound) {
  const skarv::Run run = small_run(32, 6);
  const Cluster cluster = demo_cluster();
  const Profile profile = small_profile({1, 2, 4});
  const Result<PlanReport> best = make_plan(run, cluster, profile);
  ASSERT_TRUE(best.ok()) << best.status();
  const Result<PlanReport> naive = price_plan(naive_plan(run, cluster), run, cluster, profile);
  ASSERT_TRUE(naive.ok()) << naive.status();
  EXPECT_LT(best->step_seconds, 0.6 * naive->step_seconds);
  EXPECT_GT(best->efficiency, 0.9);
  EXPECT_LE(best->efficiency, best->integer_bound);
  EXPECT_LE(best->integer_bound, 1.0);
  EXPECT_DOUBLE_EQ(best->tokens_per_second, 32 * 16 / best->step_seconds);
  EXPECT_TRUE(check_plan(best->plan, run.model, run, cluster).ok());
  EXPECT_EQ(best->islands[0].samples + best->islands[1].samples, 32);
  for (const DeviceReport& device : best->devices) {
    EXPECT_TRUE(device.memory.fits());
    EXPECT_GT(device.utilisation, 0.7);
  }
  EXPECT_EQ(digest_of(make_plan(run, cluster, profile)->plan), digest_of(best->plan));
}

// A network between hosts that is not worth its use must not be used.
TEST(Planner, MoreHostsAreNoBurdenWhateverTheirNetwork) {
  const skarv::Run run = small_run(64, 14);
  const Profile profile = small_profile({1, 2, 4});
  for (const double bytes_per_second : {1e4, 1e6}) {
    double before = std::numeric_limits<double>::max();
    for (const int num_hosts : {1, 2, 5, 10}) {
      Cluster cluster;
      cluster.sites.push_back({"s", 0, {{"h", num_hosts, 0, bytes_per_second, 1e-4, {}}}});
      cluster.sites[0].hosts[0].devices.push_back({"cpu", 8, 1'000'000'000, 0, ""});
      const Result<PlanReport> report = make_plan(run, cluster, profile);
      ASSERT_TRUE(report.ok()) << report.status();
      EXPECT_LE(report->step_seconds, before) << num_hosts << " hosts, " << bytes_per_second;
      before = report->step_seconds;
    }
  }
}

// What is promised is what the run's own slabs and owners take, of many devices too.
TEST(Planner, TheSimulatorPricesThePlanAsThePlannerDid) {
  const skarv::Run run = small_run(160, 3);
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 20, 0, 1e4, 1e-4, {}}}});
  cluster.sites[0].hosts[0].devices.push_back({"cpu", 4, 1'000'000'000, 0, ""});
  const Profile profile = small_profile({1, 2});
  const Result<PlanReport> report = make_plan(run, cluster, profile);
  ASSERT_TRUE(report.ok()) << report.status();
  const Result<PlanStep> step = simulate_plan(report->plan, run, cluster, profile);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_DOUBLE_EQ(step->step_seconds(), report->step_seconds);
}

TEST(Planner, ADeviceAloneIsPricedWithMicrobatchesThatTheBatchHas) {
  Profile profile = small_profile({1, 2});
  const Profile large = small_profile({64});
  for (LayerTime time : large.layers) {  // far faster, but nobody has so many samples
    time.forward /= 100;
    time.backward_input /= 100;
    time.backward_weight /= 100;
    profile.layers.push_back(time);
  }
  const Result<PlanReport> report = make_plan(small_run(2), cluster_of({{"s", {0}}}), profile);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->efficiency, 0.9);
  EXPECT_LE(report->efficiency, 1.0);
}

TEST(Planner, SaysWhatRoundsOverASlowLinkLeave) {
  skarv::Run run = small_run(32, 6);
  run.exchange.min_contributors = 2;  // so that the plan keeps both
  Cluster cluster = demo_cluster();
  const Profile profile = small_profile({1, 2, 4});
  EXPECT_EQ(make_plan(run, cluster, profile)->kept_by_rounds, 1);
  cluster.links[0].bandwidth = 10;
  const Result<PlanReport> report = make_plan(run, cluster, profile);
  EXPECT_LT(report->kept_by_rounds, 0.5);
  EXPECT_THAT(to_table(*report), HasSubstr("rounds between the islands take longer"));
  const Result<PlanStep> step = simulate_plan(report->plan, run, cluster, profile);
  EXPECT_NEAR(step->tokens_per_second() / (report->tokens_per_second * report->kept_by_rounds), 1,
              1e-6);
}

// Three equal sites; the third one's links are slow.
TEST(Planner, LeavesOutASiteWhoseRoundsCostMoreThanItTrains) {
  skarv::Run run = small_run(48, 6);
  run.exchange.min_contributors = 1;
  Cluster cluster = cluster_of({{"north", {1}}, {"south", {1}}, {"west", {1}}});
  cluster.links.push_back({"south", "west", 12.5e6, 0.1, 0, 0});
  const Profile profile = small_profile({1, 2, 4});
  const Result<PlanReport> all = make_plan(run, cluster, profile);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->islands.size(), 3);
  for (Link& link : cluster.links) {
    if (link.to == "west") link.bandwidth = 5;
  }
  const Result<PlanReport> best = make_plan(run, cluster, profile);
  ASSERT_TRUE(best.ok()) << best.status();
  ASSERT_EQ(best->islands.size(), 2);
  EXPECT_EQ(best->kept_by_rounds, 1);
  EXPECT_TRUE(check_plan(best->plan, run.model, run, cluster).ok());
  const Result<PlanReport> together = price_plan(all->plan, run, cluster, profile);
  ASSERT_TRUE(together.ok()) << together.status();
  EXPECT_GT(best->step_seconds, together->step_seconds);
  EXPECT_LT(best->whole_step_seconds(), together->whole_step_seconds());
  ASSERT_EQ(best->plan.idle.size(), 1);
  EXPECT_EQ(best->plan.idle[0].device, "west/h0/0");
  EXPECT_THAT(best->plan.idle[0].reason, HasSubstr("rounds over the links of west would leave"));
  EXPECT_THAT(best->advice, testing::Contains(HasSubstr("with west: overlap_steps = 5")));
  EXPECT_DOUBLE_EQ(best->sum_of_parts, all->sum_of_parts);
  // Whoever wants three islands gets them.
  run.exchange.min_contributors = 3;
  EXPECT_EQ(make_plan(run, cluster, profile)->islands.size(), 3);
}

TEST(Planner, PipelinesWhenADeviceCannotHoldTheModel) {
  const skarv::Run run = small_run(8, 30);
  const int64_t whole = num_parameters(run.model) * 16;
  const Cluster cluster = cluster_of({{"s", {0.7, 0.3}}}, whole * 4 / 5);
  const Result<PlanReport> report = make_plan(run, cluster, small_profile({1}));
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->plan.islands[0].pipelines.size(), 1);
  std::map<std::string, int> num_layers;  // a device may have several stages
  for (const Stage& stage : report->plan.islands[0].pipelines[0].stages) {
    num_layers[stage.devices[0]] += stage.last - stage.first;
  }
  ASSERT_EQ(num_layers.size(), 2);
  EXPECT_NEAR(num_layers["s/h0/0"], 22.4, 1.5);
  EXPECT_NEAR(num_layers["s/h1/0"], 9.6, 1.5);
}

TEST(Planner, RecomputesWhenActivationsDoNotFit) {
  const skarv::Run run = small_run(4, 2);
  Profile profile = small_profile({1});
  for (LayerTime& time : profile.layers) time.activation_bytes = 1e8;
  const Cluster cluster = cluster_of({{"s", {1}}}, 450'000'000);
  EXPECT_EQ(make_plan(run, cluster, profile)->plan.islands[0].pipelines[0].stages[0].recompute,
            Recompute::kNone);
  // Half of the layers take 300 MB and do not fit even for one microbatch at a time.
  const Cluster smaller = cluster_of({{"s", {1, 1}}}, 290'000'000);
  const Result<PlanReport> report = make_plan(run, smaller, profile);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->plan.islands[0].pipelines[0].stages[0].recompute, Recompute::kFull);
  for (const DeviceReport& device : report->devices) EXPECT_TRUE(device.memory.fits());
}

TEST(Planner, SaysWhatDoesNotFit) {
  const skarv::Run run = small_run(8, 2);
  const Status status = make_plan(run, demo_cluster(30'000), small_profile({1})).status();
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.origin(), "north");
  EXPECT_THAT(status.message(), HasSubstr("of 30.0 kB"));
  EXPECT_THAT(status.message(), HasSubstr("gradients"));
  EXPECT_FALSE(status.hint().empty());
}

TEST(Planner, KeepersHaveToFitInHostMemory) {
  const skarv::Run run = small_run(8, 2);
  Cluster cluster = cluster_of({{"s", {1}}});
  cluster.sites[0].hosts[0].memory_bytes = 24 * num_parameters(run.model);
  const Result<PlanReport> report = make_plan(run, cluster, small_profile({1}));
  ASSERT_TRUE(report.ok()) << report.status();
  const std::string bytes = human_bytes(24.0 * static_cast<double>(num_parameters(run.model)));
  EXPECT_THAT(to_table(*report), HasSubstr("fullest keeper: s/h0, " + bytes + " of " + bytes));
  EXPECT_EQ(to_json(*report)["host_bytes"]["s/h0"], 24 * num_parameters(run.model));
  --cluster.sites[0].hosts[0].memory_bytes;
  const Status status = make_plan(run, cluster, small_profile({1})).status();
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.origin(), "s/h0");
  EXPECT_THAT(status.message(), HasSubstr("host memory"));
}

TEST(Planner, LeavesOutWhatWouldOnlySlowTheIsland) {
  const skarv::Run run = small_run(4, 2);
  const Result<PlanReport> report =
      make_plan(run, cluster_of({{"s", {1, 0.01}}}), small_profile({1}));
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->plan.idle.size(), 1);
  EXPECT_EQ(report->plan.idle[0].device, "s/h1/0");
  EXPECT_THAT(report->plan.idle[0].reason, HasSubstr("s's cpus would make the step "));
  EXPECT_THAT(report->plan.idle[0].reason, HasSubstr(" % longer: left out"));
  EXPECT_THAT(to_table(*report), HasSubstr("s/h1/0 stays idle"));
}

// Two equal devices whose gradients would be on their way for minutes.
TEST(Planner, SaysWhatDevicesWouldAddThatItDoesNotNeed) {
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {{"h", 2, 0, 100, 1e-4, {}}}});
  cluster.sites[0].hosts[0].devices.push_back({"cpu", 1, 1'000'000'000, 0, ""});
  const Result<PlanReport> report = make_plan(small_run(4), cluster, small_profile({1}));
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->plan.idle.size(), 1);
  EXPECT_THAT(report->plan.idle[0].reason, HasSubstr("need only 1 of s's cpus (2); "));
  EXPECT_THAT(report->plan.idle[0].reason, HasSubstr(" %"));
}

// Two types in one site, the second far slower.
TEST(Planner, ComparesWithTheBestPlanOnOneType) {
  const skarv::Run run = small_run(24, 6);
  Profile profile = small_profile({1, 2}, "h20");
  for (LayerTime time : small_profile({1, 2}, "l40s").layers) {
    for (double* seconds :
         {&time.forward, &time.backward_input, &time.backward_weight, &time.update}) {
      *seconds *= 3;
    }
    profile.layers.push_back(time);
  }
  Cluster cluster = cluster_of({{"s", {0, 0}}}, 1'000'000'000, "h20");
  const Result<PlanReport> alone = make_plan(run, cluster, profile);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->best_single_chip, "") << "there is one type only";
  HostGroup slow = cluster.sites[0].hosts[0];
  slow.name = "slow";
  slow.devices[0].chip = "l40s";
  cluster.sites[0].hosts.push_back(slow);
  const Result<PlanReport> both = make_plan(run, cluster, profile);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->best_single_chip, "h20");
  EXPECT_NEAR(both->best_single_tokens_per_second / alone->tokens_per_second, 1, 0.02);
  EXPECT_GT(both->tokens_per_second, both->best_single_tokens_per_second);
}

TEST(Planner, RefusesWhatItCannotPlan) {
  const auto code_of = [](const skarv::Run& run, const Cluster& cluster, const Profile& profile) {
    return make_plan(run, cluster, profile).status().code();
  };
  EXPECT_EQ(code_of(small_run(0), demo_cluster(), small_profile({1})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(small_run(8), demo_cluster(), small_profile({1}, "h20")), Code::kNotFound);
  EXPECT_EQ(code_of(small_run(8), demo_cluster(), Profile{}), Code::kNotFound);
  EXPECT_EQ(code_of(small_run(8), Cluster{}, small_profile({1})), Code::kInvalidArgument);
  Profile other = small_profile({1});
  other.model = Digest{}.hex();
  EXPECT_EQ(code_of(small_run(8), demo_cluster(), other), Code::kInvalidArgument);
  skarv::Run run = small_run(8);
  run.model.vocabulary = 0;
  EXPECT_EQ(code_of(run, demo_cluster(), small_profile({1})), Code::kInvalidArgument);
}

// What a search stands on, and what it plays.
struct Scene {
  Scene(const skarv::Run& run, const Cluster& cluster, const Profile& profile)
      : run(run),
        cluster(cluster),
        profile(profile),
        workload(Workload::from_run(run, profile).value()),
        devices(index_devices(cluster).value()),
        hosts(index_hosts(cluster)),
        table(run.model, run.exchange.num_fragments) {}

  const skarv::Run& run;
  const Cluster& cluster;
  const Profile& profile;
  const Workload workload;
  const DeviceIndex devices;
  const HostIndex hosts;
  const SlabTable table;
  const StepWorld world{workload, cluster, devices, hosts, profile, run.precision};
  PriceBook book;
  const Pricer pricer{world, &table, book};
};

constexpr double kOverAtOnce = 1e-9;  // CPU seconds: the process has used more

TEST(Budget, ThatIsOverAtOnceLeavesAPlanThatTookLittle) {
  const skarv::Run run = small_run(32, 6);
  const Cluster cluster = demo_cluster();
  const Profile profile = small_profile({1, 2, 4});
  int64_t num_actions[2] = {}, step_ns[2] = {};
  for (const bool is_over : {false, true}) {
    Scene scene(run, cluster, profile);
    PlannerLimits limits;
    limits.ends_at = is_over ? kOverAtOnce : 0;
    Result<Chosen> chosen = choose({scene.pricer, run.global_batch, 1, 0, limits});
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    chosen->plan.model = digest_of(run.model);
    const Status checked = check_plan(chosen->plan, run.model, run, cluster);
    EXPECT_TRUE(checked.ok()) << checked;
    num_actions[is_over] = scene.book.num_actions;
    step_ns[is_over] = chosen->step_ns;
  }
  EXPECT_LT(10 * num_actions[1], num_actions[0]);
  EXPECT_GE(step_ns[1], step_ns[0]);
}

TEST(Budget, ThatIsOverLeavesAPlanUnrefined) {
  const skarv::Run run = small_run(32, 6);
  const Cluster cluster = demo_cluster();
  const Profile profile = small_profile({1, 2, 4});
  Scene scene(run, cluster, profile);
  PricedPlan plan{naive_plan(run, cluster), {}};
  for (const Island& island : plan.plan.islands) {
    plan.island_ns.push_back(scene.pricer.play(island, {}).value().trace.step_ns);
  }
  const std::vector<int64_t> before = plan.island_ns;
  const int64_t num_actions = scene.book.num_actions;
  PlannerLimits limits;
  limits.ends_at = kOverAtOnce;
  Tried tried;
  ASSERT_TRUE(refine(scene.pricer, limits, {1'000'000}, tried, plan).ok());
  EXPECT_EQ(plan.island_ns, before);
  EXPECT_EQ(scene.book.num_actions, num_actions);
  limits.ends_at = 0;
  ASSERT_TRUE(refine(scene.pricer, limits, {1'000'000}, tried, plan).ok());
  EXPECT_LT(std::ranges::max(plan.island_ns), std::ranges::max(before));
}

// Of all clusters that are looked at together, however little that is.
TEST(Budget, LeavesAPlanThatFits) {
  const skarv::Run run = small_run(32, 6);
  const Cluster cluster = demo_cluster();
  for (const double seconds : {1e-6, 0.05}) {
    PlannerLimits limits;
    limits.budget_seconds = seconds;
    const Result<PlanReport> report = make_plan(run, cluster, small_profile({1, 2, 4}), limits);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(check_plan(report->plan, run.model, run, cluster).ok());
    for (const DeviceReport& device : report->devices) EXPECT_TRUE(device.memory.fits());
  }
}

TEST(PlanReport, MarksWhatIsEstimatedFromFiguresThatNobodyVerified) {
  const skarv::Run run = small_run(4);
  const auto report_of = [&](const std::string& chip, bool is_estimated) {
    Profile profile = small_profile({1, 2}, chip);
    profile.estimated = is_estimated;
    return make_plan(run, cluster_of({{"s", {0}}}, 1'000'000'000, chip), profile).value();
  };
  const PlanReport estimated = report_of("h20", true);
  EXPECT_THAT(to_table(estimated), HasSubstr("h20?  "));
  EXPECT_THAT(to_table(estimated), HasSubstr("nobody verified: h20 (link bandwidth);"));
  EXPECT_EQ(to_json(estimated)["devices"][0]["unverified"].dump(), R"(["link bandwidth"])");
  for (const PlanReport& sure : {report_of("h20", false), report_of("h100-sxm", true)}) {
    EXPECT_THAT(to_table(sure), Not(HasSubstr("?")));
    EXPECT_EQ(to_json(sure)["devices"][0]["unverified"].dump(), "[]");
  }
}

TEST(PlanReport, WhatRoundsTakeIsNotFasterThanOneType) {
  PlanReport report;
  report.tokens_per_second = 300;
  report.best_single_chip = "h20";
  report.best_single_tokens_per_second = 100;
  EXPECT_THAT(to_table(report), HasSubstr("3.00 times as fast"));
  report.kept_by_rounds = 0.5;
  EXPECT_THAT(to_table(report), HasSubstr("1.50 times as fast"));
}

TEST(PlanReport, MemoryAddsUp) {
  const Result<PlanReport> report = make_plan(
      small_run(4), cluster_of({{"s", {0}}}, 1'000'000'000, "h20"), small_profile({1}, "h20"));
  ASSERT_TRUE(report.ok()) << report.status();
  const Json memory = to_json(*report)["devices"][0]["memory"];
  EXPECT_GT(memory["reserve"].get<int64_t>(), 0);
  int64_t sum = 0;
  for (const auto& [name, bytes] : memory.items()) {
    if (name != "total" && name != "limit") sum += bytes.get<int64_t>();
  }
  EXPECT_EQ(sum, memory["total"].get<int64_t>());
}

TEST(PlanReport, TableAndJsonCarryTheFigures) {
  const Result<PlanReport> report =
      make_plan(small_run(16, 6), demo_cluster(), small_profile({1, 2}));
  ASSERT_TRUE(report.ok()) << report.status();
  const std::string table = to_table(*report);
  EXPECT_THAT(table, HasSubstr("cpu paced 0.7"));
  EXPECT_THAT(table, HasSubstr("of the sum of the parts"));
  EXPECT_THAT(table, HasSubstr("% if its busiest device never waited)"));
  EXPECT_THAT(table, Not(HasSubstr("fullest keeper")));  // whose limits nobody gave
  const Json json = to_json(*report);
  EXPECT_EQ(json["devices"].size(), 4);
  EXPECT_EQ(json["step_seconds"], report->step_seconds);
  EXPECT_EQ(json["keeper_bytes"].size(), 4);
  EXPECT_TRUE(plan_from_json(json["plan"], "report").ok());

  PlanReport mixed = *report;  // equal pipelines are counted together wherever they stand
  std::vector<Pipeline>& pipelines = mixed.plan.islands[0].pipelines;
  ASSERT_EQ(pipelines.size(), 2);
  pipelines.push_back(pipelines[0]);
  EXPECT_THAT(to_table(mixed), HasSubstr("2 pipelines of 1 stage x"));
}

TEST(Memory, IsCountedByWhatASimpleDeviceHolds) {
  skarv::Run run = small_run(4, 2);
  const Cluster cluster = cluster_of({{"s", {0}}});
  Profile profile = small_profile({1});
  profile.devices.push_back({"s/h0/0", "cpu", 9e8, 1e6, 0});
  Plan plan = naive_plan(run, cluster);
  const auto memory_of = [&] { return price_plan(plan, run, cluster, profile)->devices[0].memory; };
  const int64_t parameters = num_parameters(run.model);
  DeviceMemory memory = memory_of();
  EXPECT_EQ(memory.weights, 4 * parameters);
  EXPECT_EQ(memory.gradients, 4 * parameters);
  EXPECT_EQ(memory.optimizer, 8 * parameters);
  EXPECT_EQ(memory.activations, 4000);  // four layers, one microbatch at a time
  EXPECT_EQ(memory.base, 1'000'000);
  EXPECT_EQ(memory.limit, 900'000'000);
  run.precision = Precision::kBf16;
  plan.islands[0].pipelines[0].schedule = "gpipe";
  memory = memory_of();
  EXPECT_EQ(memory.weights, 2 * parameters);
  EXPECT_EQ(memory.optimizer, 12 * parameters);
  EXPECT_EQ(memory.activations, 16000);
  plan.islands[0].pipelines[0].stages[0].recompute = Recompute::kFull;
  // Embedding and head keep what they kept, blocks their inputs; one block at a time has the rest.
  EXPECT_EQ(memory_of().activations, 4 * (2 * 1000 + 2 * 512));
}

}  // namespace
}  // namespace skarv
