// Disturbances other than a killed process of Skarv: a lost link, a frozen worker, Ctrl-C.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "base/text.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

constexpr int64_t kSteps = 200;
constexpr auto kMomentLimit = std::chrono::seconds(40);
constexpr auto kEndLimit = std::chrono::seconds(60);

void expect_a_whole_run(SystemRun& run, const std::vector<LedgerRound>& before) {
  ASSERT_EQ(run.wait(kEndLimit), 0) << run.last_words();
  const auto ledger = run.ledger();
  EXPECT_EQ(ledger.size(), static_cast<size_t>(kSteps / 10));
  EXPECT_TRUE(nothing_lost(before, ledger));
  EXPECT_TRUE(each_sample_counted_once(ledger, run.coordinator_status()));
  EXPECT_EQ(run.closing().at("digests_equal"), true);
}

// In seconds, of the rounds so far. Above 0 once there were two.
double longest_round(const SystemRun& run) {
  double longest = 0;
  const std::vector<Json> commits = run.events("coordinator", "commit");
  for (size_t i = 1; i < commits.size(); ++i) {
    const double seconds = commits[i].at("t").get<double>() - commits[i - 1].at("t").get<double>();
    longest = std::max(longest, seconds);
  }
  return longest;
}

// The sites lose each other: rounds stop, the run says who is missing, and once `restore` has done
// its work the run goes on as if nothing had happened.
void expect_to_outlive_a_lost_link(const std::string& name,
                                   const std::function<void(SystemRun&)>& lose,
                                   const std::function<void(SystemRun&)>& restore) {
  const RunShape shape{.steps = kSteps};
  const Duration detection = from_seconds(shape.detection_seconds);
  SystemRun run(shape, name);
  run.start();
  ASSERT_TRUE(run.wait_for([&] { return run.steps_done("north") >= 60; }, kMomentLimit))
      << run.last_words();
  const double round_seconds = longest_round(run);
  ASSERT_GT(round_seconds, 0) << run.last_words();
  ASSERT_NO_FATAL_FAILURE(lose(run));
  const Time lost = Clock::real().now();

  auto says_so = [&] {
    const Json status = run.coordinator_status(), north = run.report("north");
    return status.is_object() && status.at("awaited").dump().find("south") != std::string::npos &&
           north.is_object() && !north.value("awaits", "").empty();
  };
  EXPECT_TRUE(run.wait_for(says_so, kMomentLimit)) << run.last_words();
  const double seconds = to_seconds(Clock::real().now() - lost);
  // The island that is left trains on to the step at which it needs the other one; from there on
  // it waits. That step comes once in a round, so it is a round away at most. Reports are written
  // every second and status.json with the next heartbeat after one: within the detection time.
  EXPECT_LT(seconds, round_seconds + shape.detection_seconds) << run.last_words();
  const std::string words = run.report("north").value("awaits", "");

  // A commit takes both islands: once the detection time is over, no round is ...
  run.wait_for([] { return false; }, lost + detection - Clock::real().now());
  const auto before = run.ledger();
  run.wait_for([] { return false; }, 2 * detection);
  EXPECT_EQ(run.ledger().size(), before.size()) << "a round was committed over a lost link";
  // ... and what was said was no passing wait, nor said before the link was lost.
  EXPECT_TRUE(run.wait_for(says_so, kMomentLimit)) << run.last_words();
  restore(run);
  const Time restored = Clock::real().now();
  EXPECT_TRUE(run.wait_for([&] { return run.ledger().size() > before.size(); }, kMomentLimit))
      << run.last_words();
  std::printf("rounds of up to %.1f s; said after %.1f s: '%s'; %.1f s from there to the next\n",
              round_seconds, seconds, words.c_str(), to_seconds(Clock::real().now() - restored));
  expect_a_whole_run(run, before);
}

// No byte passes, and nothing else tells the two ends.
TEST(SlowDisturbance, ACutLinkStopsRoundsNamesWhoIsMissingAndHeals) {
  expect_to_outlive_a_lost_link(
      "cut",
      [](SystemRun& run) {
        const std::string answer = run.relay("cut both");
        ASSERT_EQ(answer.find("error"), std::string::npos) << answer;
        ASSERT_EQ(answer.find("no relay"), std::string::npos) << answer;
      },
      [](SystemRun& run) { run.relay("heal both"); });
}

// Connections end, and nobody answers who dials again. What starts processes again is held up for
// so long, or the relay would be back at once.
TEST(SlowDisturbance, AClosedLinkStopsRoundsNamesWhoIsMissingAndIsDialledAgain) {
  expect_to_outlive_a_lost_link(
      "closed",
      [](SystemRun& run) {
        const pid_t relay = run.process("wan north-south");
        ASSERT_TRUE(lives(relay)) << run.last_words();
        run.signal(SIGSTOP);
        ASSERT_EQ(::kill(relay, SIGKILL), 0);
      },
      [](SystemRun& run) { run.signal(SIGCONT); });
}

TEST(SlowDisturbance, AFrozenWorkerIsReplaced) {
  const RunShape shape{.steps = kSteps};
  for (const char* island : {"north", "south"}) {
    SystemRun run(shape, cat("frozen-", island));
    run.start();
    ASSERT_TRUE(run.wait_for([&] { return run.steps_done(island) >= 40; }, kMomentLimit))
        << run.last_words();
    const auto before = run.ledger();
    const auto workers = run.workers(island);
    ASSERT_EQ(workers.size(), 2u);
    ASSERT_EQ(::kill(workers[1], SIGSTOP), 0);
    const Time frozen = Clock::real().now();
    EXPECT_TRUE(run.wait_for([&] { return !lives(workers[1]); }, kMomentLimit)) << run.last_words();
    const int64_t steps = run.steps_done(island);
    EXPECT_TRUE(run.wait_for([&] { return run.steps_done(island) > steps + 10; }, kMomentLimit))
        << run.last_words();
    std::printf("%s trains on %.1f s after its worker froze\n", island,
                to_seconds(Clock::real().now() - frozen));
    expect_a_whole_run(run, before);
    EXPECT_GE(run.report(island).at("worker_restarts"), 1);
    EXPECT_EQ(run.report(island).at("agent_starts"), 1) << "the agent lives through it";
  }
}

TEST(SlowDisturbance, CtrlCSavesEverythingAndTheRunGoesOn) {
  SystemRun run({.steps = kSteps}, "interrupt");
  run.start();
  ASSERT_TRUE(run.wait_for([&] { return run.steps_done("north") >= 85; }, kMomentLimit))
      << run.last_words();
  std::vector<pid_t> processes = run.workers("north");
  for (pid_t pid : run.workers("south")) processes.push_back(pid);
  for (const char* name : {"coordinator", "north", "south", "wan north-south"}) {
    processes.push_back(run.process(name));
  }
  const Time asked = Clock::real().now();
  run.signal(SIGINT);
  ASSERT_EQ(run.wait(kEndLimit), 130) << run.last_words();
  std::printf("stopped after %.1f s\n", to_seconds(Clock::real().now() - asked));
  for (pid_t pid : processes) EXPECT_FALSE(lives(pid)) << "process " << pid << " was left behind";
  const auto before = run.ledger();
  EXPECT_GE(before.size(), 7u);
  const int64_t steps = run.report("north").at("steps");

  run.start({"--resume"});
  expect_a_whole_run(run, before);
  const auto all = run.events("north", "step");
  ASSERT_FALSE(all.empty());
  // The first step after the stop is the one that was due: nothing was trained twice.
  const auto next = std::find_if(all.begin(), all.end(),
                                 [&](const Json& event) { return event.at("steps") > steps; });
  ASSERT_NE(next, all.end());
  EXPECT_EQ(next->at("steps"), steps + 1);
  EXPECT_EQ(std::count_if(all.begin(), all.end(),
                          [&](const Json& event) { return event.at("steps") == steps; }),
            1);
}

}  // namespace
}  // namespace skarv::testing
