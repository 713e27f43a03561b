// kill -9 of each kind of process at 20 seeded moments, and of all kinds in one run: the run ends
// as if nothing had happened.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <random>

#include "base/text.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

constexpr int64_t kSteps = 300;
constexpr auto kMomentLimit = std::chrono::seconds(40);
constexpr auto kEndLimit = std::chrono::seconds(60);

// The detection time covers a restart on a busy machine: a round that comes later is applied at
// another step, and the loss moves by up to 2 % to either side, kills or none.
RunShape shape() { return {.steps = kSteps, .inner_steps = 10, .detection_seconds = 10}; }

double undisturbed_loss() {
  static const double loss = [] {
    SystemRun run(shape(), "reference");
    run.start();
    EXPECT_EQ(run.wait(kEndLimit), 0) << run.last_words();
    const Json closing = run.closing();
    return closing.is_object() ? closing.at("validation_loss").get<double>() : 0.0;
  }();
  return loss;
}

void expect_within_one_percent(const std::vector<double>& losses) {
  for (const double loss : losses) {
    std::printf("loss %.4f, undisturbed %.4f: %+.2f %%\n", loss, undisturbed_loss(),
                (loss / undisturbed_loss() - 1) * 100);
    EXPECT_NEAR(loss / undisturbed_loss(), 1, 0.01);
  }
}

enum class Victim { kWorker, kAgent, kCoordinator };

struct Moment {
  int64_t step;  // of the island
  std::string island;
  Victim victim;
  Duration later;   // after that step was reported
  uint64_t choice;  // among the workers
};

// The victims take turns.
std::vector<Moment> moments_of(uint64_t seed, int count, const std::vector<Victim>& victims) {
  std::mt19937_64 random(seed);
  std::vector<Moment> moments;
  for (int i = 0; i < count; ++i) {
    moments.push_back({static_cast<int64_t>(5 + random() % (kSteps - 15)),
                       i % 2 == 0 ? "north" : "south",
                       victims[static_cast<size_t>(i) % victims.size()],
                       std::chrono::milliseconds(random() % 150), random()});
  }
  std::sort(moments.begin(), moments.end(),
            [](const Moment& a, const Moment& b) { return a.step < b.step; });
  return moments;
}

// -1 while there is nobody to kill.
pid_t victim_of(const SystemRun& run, const Moment& moment) {
  if (moment.victim == Victim::kCoordinator) return run.process("coordinator");
  if (moment.victim == Victim::kAgent) return run.process(moment.island);
  const auto workers = run.workers(moment.island);
  return workers.empty() ? -1 : workers[moment.choice % workers.size()];
}

// Runs once with a kill at each moment.
void run_with_kills(const std::string& name, const std::vector<Moment>& moments,
                    std::vector<double>* losses) {
  SystemRun run(shape(), name);
  run.start();
  std::vector<LedgerRound> before;
  int num_killed = 0;
  for (const Moment& moment : moments) {
    ASSERT_TRUE(
        run.wait_for([&] { return run.steps_done(moment.island) >= moment.step; }, kMomentLimit))
        << "step " << moment.step << " of " << moment.island << " after " << num_killed << " kills"
        << run.last_words();
    Clock::real().sleep_until(Clock::real().now() + moment.later);
    pid_t pid = -1;
    ASSERT_TRUE(run.wait_for(
        [&] {
          pid = victim_of(run, moment);
          return lives(pid);
        },
        kMomentLimit))
        << run.last_words();
    const auto now = run.ledger();
    ASSERT_TRUE(nothing_lost(before, now));
    before = now;
    ::kill(pid, SIGKILL);
    ++num_killed;
  }
  ASSERT_EQ(run.wait(kEndLimit), 0) << run.last_words();
  const auto ledger = run.ledger();
  EXPECT_EQ(ledger.size(), static_cast<size_t>(kSteps / 10));
  EXPECT_TRUE(nothing_lost(before, ledger));
  EXPECT_TRUE(each_sample_counted_once(ledger, run.coordinator_status()));
  const Json closing = run.closing();
  EXPECT_EQ(closing.at("digests_equal"), true);
  const double loss = closing.at("validation_loss");
  EXPECT_LT(loss, closing.at("unigram_loss").get<double>());
  losses->push_back(loss);
  int64_t counted = 0;
  for (const LedgerRound& round : ledger) {
    for (const Json& one : round.record.at("delivered")) {
      counted += one.at("contribution").at("steps").get<int64_t>();
    }
  }
  std::printf("%s: %d kills, loss %.4f, %ld of %ld steps delivered, %.1f s\n", name.c_str(),
              num_killed, loss, counted, 2 * kSteps, closing.at("wall_seconds").get<double>());
}

void kill_in_runs(const std::string& name, Victim victim,
                  const std::vector<std::pair<uint64_t, int>>& runs) {  // seed, kills
  std::vector<double> losses;
  for (const auto& [seed, count] : runs) {
    run_with_kills(cat(name, "-", seed), moments_of(seed, count, {victim}), &losses);
    if (::testing::Test::HasFatalFailure()) return;
  }
  expect_within_one_percent(losses);
}

// Both islands lose a worker and an agent, and twice the run loses its coordinator. The loss is not
// compared with that of a second run, which would take as long again.
TEST(SlowKill, EachKindOfProcessTwiceInOneRun) {
  std::vector<double> losses;
  run_with_kills("kill-each",
                 moments_of(8, 6, {Victim::kWorker, Victim::kAgent, Victim::kCoordinator}),
                 &losses);
}

TEST(EnduranceKill, AWorkerTwentyTimes) {
  kill_in_runs("kill-worker", Victim::kWorker, {{1, 10}, {2, 10}});
}

TEST(EnduranceKill, AnAgentTwentyTimes) {
  kill_in_runs("kill-agent", Victim::kAgent, {{3, 10}, {4, 10}});
}

// A process that dies more than seven times within a minute is given up, so: in three runs.
TEST(EnduranceKill, TheCoordinatorTwentyTimes) {
  kill_in_runs("kill-coordinator", Victim::kCoordinator, {{5, 7}, {6, 7}, {7, 6}});
}

}  // namespace
}  // namespace skarv::testing
