// A run that nobody disturbs: the whole path, from files to the closing table.
#include <gtest/gtest.h>

#include <cmath>

#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

TEST(SlowUndisturbed, EndsWellCountsSamplesOnceAndBytesAsTheRelayDoes) {
  SystemRun run({.steps = 200}, "undisturbed");
  run.start();
  ASSERT_EQ(run.wait(std::chrono::seconds(80)), 0) << run.last_words();
  const Json closing = run.closing();
  EXPECT_EQ(closing.at("digests_equal"), true);
  EXPECT_LT(closing.at("validation_loss"), closing.at("unigram_loss"));

  const auto ledger = run.ledger();
  EXPECT_EQ(ledger.size(), 20u);
  EXPECT_TRUE(nothing_lost({}, ledger));
  EXPECT_TRUE(each_sample_counted_once(ledger, run.coordinator_status()));
  EXPECT_EQ(run.coordinator_status().at("samples_used"), 200 * kGlobalBatch);
  for (const LedgerRound& round : ledger) {
    EXPECT_EQ(round.record.at("delivered").size(), 2u) << "round " << round.round;
  }

  const Json south = run.report("south");
  const double counted =
      south.at("wan_sent").get<double>() + south.at("wan_received").get<double>();
  const double relayed = closing.at("relayed_bytes").get<double>();
  EXPECT_NEAR(counted / relayed, 1, 0.02) << counted << " counted, " << relayed << " relayed";
}

}  // namespace
}  // namespace skarv::testing
