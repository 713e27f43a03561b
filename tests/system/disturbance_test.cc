// Disturbances that kill nobody at once: a cut link, a frozen worker, Ctrl-C.
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
// Reports are written once a second, processes are watched every half second.
constexpr double kSlackSeconds = 3;

void expect_a_whole_run(SystemRun& run, const std::vector<LedgerRound>& before) {
  ASSERT_EQ(run.wait(kEndLimit), 0) << run.last_words();
  const auto ledger = run.ledger();
  EXPECT_EQ(ledger.size(), static_cast<size_t>(kSteps / 10));
  EXPECT_TRUE(nothing_lost(before, ledger));
  EXPECT_TRUE(each_sample_counted_once(ledger));
  EXPECT_EQ(run.closing().at("digests_equal"), true);
}

TEST(SlowDisturbance, ACutLinkStopsRoundsNamesWhoIsMissingAndHeals) {
  const RunShape shape{.steps = kSteps};
  SystemRun run(shape, "cut");
  run.start();
  ASSERT_TRUE(run.wait_for([&] { return run.steps_done("north") >= 60; }, kMomentLimit))
      << run.last_words();
  const std::string answer = run.relay("cut both");
  ASSERT_EQ(answer.find("error"), std::string::npos) << answer;
  ASSERT_EQ(answer.find("no relay"), std::string::npos) << answer;
  const Time cut = Clock::real().now();

  auto awaits_south = [&] {
    const Json status = run.coordinator_status();
    return status.is_object() && status.at("awaited").dump().find("south") != std::string::npos;
  };
  auto says_so = [&] {
    const Json north = run.report("north");
    return north.is_object() && !north.value("awaits", "").empty();
  };
  EXPECT_TRUE(run.wait_for([&] { return awaits_south() && says_so(); }, kMomentLimit))
      << run.last_words();
  const double seconds = to_seconds(Clock::real().now() - cut);
  // Up to a round trains on before there is anything to wait for.
  EXPECT_LT(seconds, 2 * shape.detection_seconds + kSlackSeconds);
  const std::string words = run.report("north").value("awaits", "");

  const auto before = run.ledger();
  run.wait_for([] { return false; }, from_seconds(2 * shape.detection_seconds));
  EXPECT_EQ(run.ledger().size(), before.size()) << "a round was committed over a cut link";
  run.relay("heal both");
  const Time healed = Clock::real().now();
  EXPECT_TRUE(run.wait_for([&] { return run.ledger().size() > before.size(); }, kMomentLimit))
      << run.last_words();
  std::printf("said after %.1f s: '%s'; %.1f s from healing to the next round\n", seconds,
              words.c_str(), to_seconds(Clock::real().now() - healed));
  expect_a_whole_run(run, before);
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
