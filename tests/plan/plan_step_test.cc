#include "plan/simulate/plan_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "plan/examples.h"
#include "plan/simulate/step_report.h"

namespace skarv {
namespace {

struct World {
  skarv::Run run = small_run(8, 4);
  Cluster cluster = cluster_of({{"n", {0, 0}}, {"s", {0}}});
  Profile profile = small_profile({1});
  Plan plan;

  World() {
    plan.model = digest_of(run.model);
    plan.islands = {{"n", {{1, 4, "1f1b", {{0, 3, {"n/h0/0"}}, {3, 6, {"n/h1/0"}}}}}},
                    {"s", {{1, 4, "1f1b", {{0, 6, {"s/h0/0"}}}}}}};
  }
  PlanStep step(const PlanSettings& settings = {}) const {
    return simulate_plan(plan, run, cluster, profile, settings).value();
  }
};

TEST(PlanStep, ThePartsOfARankAddUpToTheStep) {
  PlanSettings settings;
  settings.step.start_up = {5'000'000, 1'000, 2'000};
  for (const IslandStep& island : World().step(settings).islands) {
    for (const RankUse& use : island.trace.use) {
      EXPECT_EQ(use.start_up_ns + use.compute_ns + use.bubble_ns + use.exposed_ns +
                    use.collective_ns + use.done_ns,
                island.trace.step_ns);
      EXPECT_EQ(use.start_up_ns, 5'000'000);
    }
  }
}

TEST(PlanStep, TokensAreThoseOfTheSlowestIslandAndItsRounds) {
  const PlanStep step = World().step();
  EXPECT_EQ(step.names, (std::vector<std::string>{"n", "s"}));
  EXPECT_EQ(step.round.slowest, "s");
  EXPECT_NEAR(step.tokens_per_second(), 8 * 16 / step.step_seconds() * step.round.utilisation,
              1e-6);
  EXPECT_NEAR(step.goodput.fraction(), 1, 1e-9);
  EXPECT_EQ(step.overflow(), "");
}

TEST(PlanStep, JitterIsSeededAndAStragglerIsNamed) {
  const World world;
  PlanSettings settings;
  settings.step.jitter = 0.1;
  settings.step.seed = 4;
  const int64_t one = world.step(settings).islands[0].trace.step_ns;
  EXPECT_EQ(world.step(settings).islands[0].trace.step_ns, one);
  settings.step.seed = 5;
  EXPECT_NE(world.step(settings).islands[0].trace.step_ns, one);
  settings.step.jitter = 0;
  settings.step.slowdown["n/h1/0"] = 3;
  const PlanStep slow = world.step(settings);
  const IslandStep& island = slow.islands[0];
  EXPECT_EQ(island.schedule.devices[island.trace.use[0].awaited], "n/h1/0");
  EXPECT_GT(island.trace.step_ns, one);
}

TEST(PlanStep, WhatDoesNotFitIsNamed) {
  World world;
  world.cluster.sites[0].hosts[1].devices[0].memory_bytes = 10'000;
  EXPECT_THAT(world.step().overflow(), testing::StartsWith("n/h1/0 needs "));
  world = World();
  world.cluster.sites[1].hosts[0].memory_bytes = 1000;
  EXPECT_THAT(world.step().overflow(), testing::StartsWith("the keeper on host s/h0 needs "));
}

TEST(PlanStep, IsShownAsTableJsonAndTimeLine) {
  const World world;
  const PlanStep step = world.step();
  EXPECT_THAT(to_table(step, world.plan), testing::HasSubstr("n waits for s"));
  const Json json = to_json(step, world.plan);
  EXPECT_EQ(json["islands"][0]["devices"].size(), 2u);
  EXPECT_EQ(json["islands"][0]["devices"][0]["memory"]["fits"], true);
  EXPECT_EQ(json["islands"][0]["wires"].size(), 4u);  // two NICs, out and in
  double busy = 0;
  const Json trace = to_trace(step);
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "X" && event["pid"] == 0 && event["cat"] == "compute") {
      busy += event["dur"].get<double>();
    }
  }
  EXPECT_NEAR(busy, static_cast<double>(step.islands[0].trace.use[0].compute_ns) * 1e-3, 1e-3);
}

// docs/cost-model.md, 8: a message is 1024 us on the wire, then 1000 us of latency.
TEST(PlanStep, TheTimeLineHasTheMessagesOnTheirWay) {
  World world;
  world.run = small_run(2);
  world.cluster = cluster_of({{"s", {0, 0.5}}});
  world.profile.links.push_back({"s/h0", "s/h1", 1e6, 1e-3});
  world.plan.model = digest_of(world.run.model);
  world.plan.islands = {{"s", {{1, 2, "1f1b", {{0, 2, {"s/h0/0"}}, {2, 4, {"s/h1/0"}}}}}}};
  const Json trace = to_trace(world.step());
  const auto sent = [&](int process, const std::string& name) {
    for (const Json& event : trace["traceEvents"]) {
      if (event["pid"] == process && event["name"] == name) return event;
    }
    return Json();
  };
  const Json activation = sent(0, "stage 0 to 1, microbatch 0");
  ASSERT_TRUE(activation.is_object());
  EXPECT_EQ(activation["cat"], "message");
  EXPECT_DOUBLE_EQ(activation["ts"].get<double>(), 11'000);
  EXPECT_DOUBLE_EQ(activation["dur"].get<double>(), 2024);
  EXPECT_EQ(activation["args"]["bytes"], 1024);
  const Json gradient = sent(1, "stage 1 to 0, microbatch 0");
  ASSERT_TRUE(gradient.is_object());
  EXPECT_DOUBLE_EQ(gradient["ts"].get<double>(), 103'024);
  EXPECT_DOUBLE_EQ(gradient["dur"].get<double>(), 2024);
}

// Slices of one track cannot overlap.
TEST(PlanStep, MessagesOnTheirWayTogetherHaveTracksOfTheirOwn) {
  World world;
  world.profile.links.push_back({"n/h0", "n/h1", 1e9, 50e-3});  // longer than a forward
  const Json trace = to_trace(world.step());
  std::map<int, double> busy_until;  // by track of the first device
  for (const Json& event : trace["traceEvents"]) {
    if (event["pid"] != 0 || event["ph"] != "X" || event["cat"] != "message") continue;
    double& end = busy_until[event["tid"].get<int>()];
    const double begin = event["ts"].get<double>();
    EXPECT_GE(begin, end - 1e-6) << event;
    end = begin + event["dur"].get<double>();
  }
  EXPECT_GT(busy_until.size(), 1u);
  EXPECT_FALSE(busy_until.contains(0));  // where the actions are
}

TEST(PlanStep, OneOfTwoIslandsThatIsGoneHoldsTheOtherUp) {
  World world;
  PlanSettings settings;
  settings.rates.site_mtbf = 86'400;
  EXPECT_GT(world.step(settings).goodput.seconds_paused, 600);
  world.run.exchange.durable_copies = 1;  // then each commits alone
  EXPECT_EQ(world.step(settings).goodput.seconds_paused, 0);
}

TEST(PlanStep, RareFailuresAreShownToo) {
  const World world;
  PlanSettings settings;
  settings.rates.site_mtbf = 30 * 86'400.0;
  const PlanStep step = world.step(settings);
  EXPECT_THAT(to_table(step, world.plan), testing::HasSubstr("(0.067 by the mean times)"));
  EXPECT_DOUBLE_EQ(to_json(step, world.plan)["goodput"]["expected_failures_a_day"].get<double>(),
                   2.0 / 30);
  EXPECT_THAT(to_table(world.step(), world.plan), testing::Not(testing::HasSubstr("a day with")));
}

TEST(PlanStep, AGivenScheduleIsPlayedAndADeadlockIsNamed) {
  const World world;
  PlanSettings settings;
  settings.step.whole = true;
  const IslandStep built = world.step(settings).islands[0];
  settings.step.whole = false;
  Schedule& given = settings.step.schedules["n"];
  given = built.schedule;
  EXPECT_EQ(world.step(settings).islands[0].trace.step_ns, built.trace.step_ns);
  // The first device now waits for the first gradient before it has sent what the second waits for.
  std::vector<Action>& list = given.actions[0];
  const auto receive = std::ranges::find(list, ActionKind::kReceiveGradient, &Action::kind);
  const auto send = std::ranges::find(list, ActionKind::kSendActivation, &Action::kind);
  std::rotate(send, receive, receive + 1);
  const Status stuck =
      simulate_plan(world.plan, world.run, world.cluster, world.profile, settings).status();
  EXPECT_THAT(stuck.message(), testing::HasSubstr("deadlock: n/h"));
  EXPECT_THAT(stuck.message(), testing::HasSubstr("\"receive-gradient pipeline 0 stage 0"));
  EXPECT_THAT(stuck.message(), testing::HasSubstr("\"receive-activation pipeline 0 stage 1"));
  settings.step.schedules["m"] = given;
  EXPECT_EQ(simulate_plan(world.plan, world.run, world.cluster, world.profile, settings)
                .status()
                .origin(),
            "schedule");
}

TEST(PlanStep, NonsenseIsNamedWithItsPlace) {
  World world;
  PlanSettings settings;
  settings.step.slowdown["n/h9/0"] = 2;
  EXPECT_EQ(simulate_plan(world.plan, world.run, world.cluster, world.profile, settings)
                .status()
                .origin(),
            "slowdown");
  settings = {};
  settings.step.jitter = -1;
  EXPECT_EQ(simulate_plan(world.plan, world.run, world.cluster, world.profile, settings)
                .status()
                .origin(),
            "jitter");
  settings = {};
  settings.rates.site_mtbf = -5;
  EXPECT_EQ(simulate_plan(world.plan, world.run, world.cluster, world.profile, settings)
                .status()
                .origin(),
            "site_mtbf");
  world.plan.islands[0].pipelines[0].samples = 2'000'000'000;
  world.run.global_batch = 2'000'000'004;
  EXPECT_EQ(simulate_plan(world.plan, world.run, world.cluster, world.profile).status().code(),
            Code::kResourceExhausted);
  world.plan.islands[0].pipelines[0].stages[1].first = 2;
  const Status layers = simulate_plan(world.plan, world.run, world.cluster, world.profile).status();
  EXPECT_THAT(layers.origin(), testing::StartsWith("islands[0].pipelines[0].stages[1]"));
}

}  // namespace
}  // namespace skarv
