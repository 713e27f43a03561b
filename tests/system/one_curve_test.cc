// One curve through the programs: one device in one process against two islands in gradient mode,
// which exchange over sockets and step in their keepers. 2 blocks, hidden 32, tied head, fp32,
// AdamW with clipping at 1 and warm-up, 8 samples of 32 tokens a step, shared out 5 to 3.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "system/site_run.h"

namespace skarv::testing {
namespace {

constexpr int kSteps = 50;
constexpr double kGradientTolerance = 1e-5;  // of the norm
constexpr double kLossTolerance = 1e-4;      // relative, every step

const char* const kExact = "mode = \"gradient\"";
// One round, after the last step: until then it is plain AdamW.
std::string plain(int steps) {
  return "mode = \"local\"\noverlap_steps = 0\ninner_steps = " + std::to_string(steps);
}

double worst_apart(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(a[i] / b[i] - 1));
  }
  return worst;
}

TEST(SlowOneCurve, TwoIslandsInGradientModeTrainAsOneDevice) {
  SiteRun one("curve-one", {.samples = {8}, .steps = kSteps, .exchange = plain(kSteps)});
  SiteRun alone("curve-alone", {.samples = {8}, .steps = kSteps, .exchange = kExact});
  SiteRun two("curve-two", {.samples = {5, 3}, .steps = kSteps, .exchange = kExact});
  for (SiteRun* run : {&one, &alone, &two}) ASSERT_NO_FATAL_FAILURE(run->train());
  const std::vector<double> expected = one.losses();
  ASSERT_EQ(expected.size(), static_cast<size_t>(kSteps));
  EXPECT_LT(expected.back(), expected.front() - 0.3) << "nothing was learned";
  for (SiteRun* run : {&alone, &two}) {
    const std::vector<double> losses = run->losses();
    ASSERT_EQ(losses.size(), expected.size());
    const double apart = worst_apart(losses, expected);
    EXPECT_LE(apart, kLossTolerance);
    std::printf("loss %.3f -> %.3f, worst %.2g apart\n", losses.front(), losses.back(), apart);
  }
}

// After one step the first moment is the clipped gradient times 1 - beta1, wherever it is kept.
TEST(SlowOneCurve, TwoIslandsMergeTheGradientOfOneDevice) {
  SiteRun one("gradient-one", {.samples = {8}, .steps = 1, .exchange = plain(1)});
  SiteRun two("gradient-two", {.samples = {5, 3}, .steps = 1, .exchange = kExact});
  for (SiteRun* run : {&one, &two}) ASSERT_NO_FATAL_FAILURE(run->train());
  const std::vector<float> expected = one.checkpointed("north", "exp_avg");
  ASSERT_GT(expected.size(), 10'000u);
  for (const char* site : {"north", "south"}) {
    const std::vector<float> merged = two.checkpointed(site, "outer.m");
    ASSERT_EQ(merged.size(), expected.size());
    const double apart = distance(expected, merged);
    EXPECT_LE(apart, kGradientTolerance) << site;
    std::printf("%s: gradient %.2g apart\n", site, apart);
  }
}

// Without a second site there is no WAN; rounds are the island's own.
TEST(SlowOneSite, TrainsWithLocalRounds) {
  SiteRun run("one-site", {.samples = {8},
                           .steps = 40,
                           .exchange = "mode = \"local\"\ninner_steps = 10\noverlap_steps = 1"});
  ASSERT_NO_FATAL_FAILURE(run.train({"--json"}));
  const Json closing = Json::parse(run.said(), nullptr, false);
  ASSERT_FALSE(closing.is_discarded()) << run.said();
  EXPECT_EQ(closing.at("rounds"), 4);
  EXPECT_EQ(closing.at("tokens"), 40 * 8 * 32);
  EXPECT_EQ(closing.at("digests_equal"), true);
  EXPECT_LT(closing.at("validation_loss").get<double>(), run.losses().front());
}

// Merged weights are taken before the very step that ends with the next snapshot: a late round would
// be made up for by steps after the last one.
TEST(SlowLongestOverlap, HasEveryRoundInTime) {
  SiteRun run("longest-overlap",
              {.samples = {4, 4},
               .steps = 20,
               .exchange = "mode = \"local\"\ninner_steps = 2\noverlap_steps = 1"});
  ASSERT_NO_FATAL_FAILURE(run.train({"--json"}));
  const Json closing = Json::parse(run.said(), nullptr, false);
  ASSERT_FALSE(closing.is_discarded()) << run.said();
  EXPECT_EQ(closing.at("rounds"), 10);
  EXPECT_EQ(closing.at("tokens"), 20 * 8 * 32);
}

// One file names every device of both islands and has their actions on one clock.
TEST(SlowTrace, OneFileOverAllDevices) {
  SiteRun run("trace", {.samples = {4, 4},
                        .steps = 20,
                        .exchange = "mode = \"local\"\ninner_steps = 10\noverlap_steps = 1"});
  ASSERT_NO_FATAL_FAILURE(run.train({"--trace"}));
  const auto path = run.out() / "trace.json";
  EXPECT_NE(run.said().find(path.string()), std::string::npos) << run.said();
  const auto trace = read_json(path);
  ASSERT_TRUE(trace.ok()) << trace.status().to_string();
  std::map<int, std::string> devices;
  std::map<int, std::set<std::string>> actions;
  for (const Json& event : trace->at("traceEvents")) {
    const int process = event.at("pid");
    if (event.at("name") == "process_name") devices[process] = event.at("args").at("name");
    if (event.at("ph") != "X") continue;
    actions[process].insert(event.at("name").get<std::string>());
    EXPECT_GE(event.at("ts").get<double>(), 0);
    EXPECT_LT(event.at("ts").get<double>(), 30e6) << "no common clock";
  }
  EXPECT_EQ(devices, (std::map<int, std::string>{{0, "north/a/0"}, {1, "south/a/0"}}));
  for (const auto& [process, names] : actions) {
    EXPECT_TRUE(names.contains("forward") && names.contains("backward") && names.contains("update"))
        << devices[process];
  }
  EXPECT_EQ(actions.size(), devices.size());
}

}  // namespace
}  // namespace skarv::testing
