#include "plan/search/replan.h"

#include <gtest/gtest.h>

#include "plan/outer/goodput.h"
#include "plan/search/exhaustive.h"
#include "plan/search/mend.h"
#include "plan/search/moves.h"

namespace skarv {
namespace {

// A site with hosts of these names, an A100 each.
Cluster cluster_of(const std::vector<std::string>& hosts, double bandwidth = 12.5e9) {
  Cluster cluster;
  cluster.sites.push_back({"s", 0, {}});
  for (const std::string& host : hosts) {
    cluster.sites[0].hosts.push_back({host, 1, 0, bandwidth, 1e-5, {{"a100-sxm-80", 1, 0, 0, ""}}});
  }
  return cluster;
}

Stage stage_on(const std::string& host, int first, int last) {
  return {first, last, {"s/" + host + "/0"}};
}

Plan plan_of(const SmallCase& small, std::vector<Pipeline> pipelines) {
  Plan plan;
  plan.model = digest_of(small.run.model);
  plan.islands.push_back({"s", std::move(pipelines)});
  return plan;
}

TEST(Replan, ALostHostIsAnsweredByAPlanWithoutIt) {
  SmallCase small = random_case(5);
  small.run.global_batch = 32;
  small.cluster = {};
  small.cluster.sites.push_back({"s", 0, {{"h", 4, 0, 12.5e9, 1e-5, {}}}});
  small.cluster.sites[0].hosts[0].devices.push_back({"a100-sxm-80", 2, 0, 0, ""});
  const Result<PlanReport> before = make_plan(small.run, small.cluster, small.profile);
  ASSERT_TRUE(before.ok()) << before.status();
  // Nothing changed: the plan stays.
  const Result<Replanned> same = replan(before->plan, small.run, small.cluster, small.profile);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->choice, Replanned::Choice::kKept);
  EXPECT_EQ(digest_of(same->report.plan), digest_of(before->plan));
  EXPECT_EQ(same->moved_bytes, 0);
  EXPECT_EQ(same->move_seconds, 0);
  small.cluster.sites[0].hosts[0].count = 3;
  const Result<Replanned> after = replan(before->plan, small.run, small.cluster, small.profile);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_NE(after->choice, Replanned::Choice::kKept);
  EXPECT_NE(after->reason.find("s/h3"), std::string::npos) << after->reason;
  EXPECT_GT(after->report.step_seconds, before->step_seconds);
  EXPECT_TRUE(check_plan(after->report.plan, small.run.model, small.run, small.cluster).ok());
}

TEST(Replan, ASlowNetworkKeepsTheRunningPlan) {
  SmallCase small = random_case(7);
  small.run.global_batch = 8;
  small.cluster = {};
  small.cluster.sites.push_back({"s", 0, {{"h", 2, 0, 1e4, 1e-5, {}}}});
  small.cluster.sites[0].hosts[0].devices.push_back({"a100-sxm-80", 1, 0, 0, ""});
  Plan running;
  running.model = digest_of(small.run.model);
  running.islands.push_back(
      {"s", {{2, 8, "1f1b", {{0, small.run.model.num_layers(), {"s/h0/0"}}}}}});
  const Result<Replanned> kept = replan(running, small.run, small.cluster, small.profile);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->choice, Replanned::Choice::kKept) << to_text(*kept) << to_table(kept->report);
}

// A site that joins gets the model over its link: 16 bytes a parameter with the optimizer's state.
TEST(Replan, ANewSiteIsWaitedForWhileTheModelGoesOverItsLink) {
  SmallCase small = random_case(7);
  small.run.global_batch = 8;
  small.run.exchange.inner_steps = 100;
  small.run.steps = 10'000'000;
  small.cluster = {};
  for (const char* name : {"n", "s"}) {
    small.cluster.sites.push_back({name, 0, {{"h", 1, 0, 1e9, 1e-5, {}}}});
    small.cluster.sites.back().hosts[0].devices.push_back({"a100-sxm-80", 1, 0, 0, ""});
  }
  Plan running;
  running.model = digest_of(small.run.model);
  running.islands.push_back(
      {"n", {{2, 8, "1f1b", {{0, small.run.model.num_layers(), {"n/h/0"}}}}}});
  running.idle = {{"s/h/0", "not there yet"}};
  double before = 0;
  for (const double bandwidth : {1e8, 1e6}) {
    small.cluster.links = {{"n", "s", bandwidth, 1e-3, 0, 0}};
    const Result<Replanned> joined = replan(running, small.run, small.cluster, small.profile);
    ASSERT_TRUE(joined.ok()) << joined.status();
    ASSERT_GT(joined->moved_bytes, 0) << to_text(*joined);
    const double bytes = static_cast<double>(num_parameters(small.run.model)) *
                         (small.run.precision == Precision::kFp32 ? 12 : 14);
    EXPECT_NEAR(joined->move_seconds - FailureRates{}.restart_seconds, bytes / bandwidth,
                1e-6 * bytes / bandwidth);
    EXPECT_GT(joined->move_seconds, before);
    before = joined->move_seconds;
  }
}

TEST(Replan, AnIdleDeviceTakesTheLostOnesPlace) {
  SmallCase small = random_case(7);
  small.run.global_batch = 8;
  const int layers = small.run.model.num_layers();
  Plan running = plan_of(small, {{1, 5, "1f1b", {stage_on("a", 0, layers)}},
                                 {1, 3, "1f1b", {stage_on("b", 0, layers)}}});
  running.idle = {{"s/c/0", "not needed"}};
  running.owner_share = {{"s/b/0", 0.5}};
  small.cluster = cluster_of({"a", "c"});
  const std::optional<Plan> plan = mended(running, index_devices(small.cluster).value());
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(check_plan(*plan, small.run.model, small.run, small.cluster).ok());
  ASSERT_EQ(plan->islands[0].pipelines.size(), 2u);
  EXPECT_EQ(plan->islands[0].pipelines[1].stages[0].devices[0], "s/c/0");
  EXPECT_EQ(plan->islands[0].pipelines[1].samples, 3);
  EXPECT_TRUE(plan->idle.empty());
  EXPECT_EQ(plan->owner_share, (std::map<std::string, double>{{"s/c/0", 0.5}}));
  // It gets the weights, and its half of the optimizer's state.
  const int weight = small.run.precision == Precision::kFp32 ? 4 : 2;
  EXPECT_NEAR(
      static_cast<double>(moves_between(running, *plan, small.run, small.cluster).bytes),
      static_cast<double>(num_parameters(small.run.model)) * (weight + (weight == 4 ? 4 : 6)), 1e3);
}

TEST(Replan, APipelineThatIsGivenUpMendsAnother) {
  SmallCase small = random_case(7);
  small.run.global_batch = 9;
  const int layers = small.run.model.num_layers();
  const auto halves = [&](const std::string& first, const std::string& second) {
    return Pipeline{
        1, 3, "1f1b", {stage_on(first, 0, layers / 2), stage_on(second, layers / 2, layers)}};
  };
  const Plan running = plan_of(small, {halves("a", "b"), halves("c", "d"), halves("e", "f")});
  small.cluster = cluster_of({"a", "b", "c", "e"});  // without d and f
  const std::optional<Plan> plan = mended(running, index_devices(small.cluster).value());
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(check_plan(*plan, small.run.model, small.run, small.cluster).ok());
  ASSERT_EQ(plan->islands[0].pipelines.size(), 2u);
  EXPECT_EQ(plan->islands[0].pipelines[1].stages[0].devices[0], "s/c/0");
  EXPECT_EQ(plan->islands[0].pipelines[1].stages[1].devices[0], "s/e/0");
  EXPECT_EQ(plan->islands[0].samples(), 9);
}

TEST(Replan, NothingIsLeftOfAPlanWhoseDevicesAreAllGone) {
  SmallCase small = random_case(7);
  const Plan running =
      plan_of(small, {{1, 8, "1f1b", {stage_on("a", 0, small.run.model.num_layers())}}});
  small.cluster = cluster_of({"b"});
  // The other device would do, if anything said that it is of the lost one's chip.
  EXPECT_FALSE(mended(running, index_devices(small.cluster).value()).has_value());
}

// Over a network on which no state can be moved in time, those that are left take all samples.
TEST(Replan, WhatIsLeftGoesOnAtOnce) {
  SmallCase small = random_case(7);
  small.run.global_batch = 8;
  const int layers = small.run.model.num_layers();
  const auto pipeline_on = [&](const std::string& host) {
    return Pipeline{
        1, 4, "1f1b", {{0, 1, {"s/" + host + "/0"}}, {1, layers, {"s/" + host + "/1"}}}};
  };
  const Plan running = plan_of(small, {pipeline_on("a"), pipeline_on("b")});
  small.cluster = cluster_of({"a"}, 1);
  small.cluster.sites[0].hosts[0].devices[0].count = 2;
  const Result<Replanned> after = replan(running, small.run, small.cluster, small.profile);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->choice, Replanned::Choice::kMended) << to_text(*after);
  EXPECT_NE(after->reason.find("s/b/0"), std::string::npos) << after->reason;
  EXPECT_EQ(after->moved_bytes, 0);
  EXPECT_EQ(after->move_seconds, FailureRates{}.restart_seconds);
  EXPECT_EQ(after->report.plan.islands[0].samples(), 8);
  EXPECT_GT(after->gain_seconds, 0);
}

// A search deals out hosts in the order of their names; those that are left keep their layers all
// the same, and only the one that steps in receives any.
TEST(Replan, EqualHostsStayWhereTheyAre) {
  SmallCase small = random_case(7);
  const int layers = small.run.model.num_layers(), half = layers / 2;
  const auto plan_on = [&](const std::vector<std::string>& hosts) {
    return plan_of(
        small, {{1, 4, "1f1b", {stage_on(hosts[0], 0, half), stage_on(hosts[1], half, layers)}},
                {1, 4, "1f1b", {stage_on(hosts[2], 0, half), stage_on(hosts[3], half, layers)}}});
  };
  const Plan running = plan_on({"a", "b", "c", "d"});
  small.cluster = cluster_of({"b", "c", "d", "e"});
  Plan fresh = plan_on({"b", "c", "d", "e"});
  const Moves all = moves_between(running, fresh, small.run, small.cluster);
  rename_to_stay(running, small.cluster, small.profile, fresh);
  small.run.global_batch = 8;
  EXPECT_TRUE(check_plan(fresh, small.run.model, small.run, small.cluster).ok());
  const Moves few = moves_between(running, fresh, small.run, small.cluster);
  const std::optional<Plan> plan = mended(running, index_devices(small.cluster).value());
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(few.bytes, moves_between(running, *plan, small.run, small.cluster).bytes);
  EXPECT_LT(2 * few.bytes, all.bytes);
  // Measured devices that differ do not change places.
  small.profile.devices = {{"s/b/0", "a100-sxm-80", 7e10, 1e9, 0}};
  Plan apart = plan_on({"b", "c", "d", "e"});
  rename_to_stay(running, small.cluster, small.profile, apart);
  EXPECT_EQ(apart.islands[0].pipelines[0].stages[0].devices[0], "s/b/0");
}

}  // namespace
}  // namespace skarv
