#include "wan/round/simulator.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace skarv::wan {
namespace {

SimOptions quick() {
  SimOptions options;
  options.exchange.inner_steps = 4;
  options.exchange.detection_seconds = 0.5;
  options.exchange.round_budget_seconds = 5;
  options.exchange.overlap_steps = 1;
  return options;
}

TEST(Simulator, CalmRunCommitsEveryRound) {
  SimOptions options = quick();
  Simulator simulator(options);
  EXPECT_EQ(simulator.run(), "");
  EXPECT_EQ(simulator.ledger().size(), 4u);
  for (const CommittedRound& row : simulator.ledger()) {
    EXPECT_EQ(row.record.delivered.size(), 3u);
    EXPECT_EQ(row.record.attempt, 1);
  }
}

// Loss, duplicates, delays, cuts, crashes at any action with memory kept or lost; 2 to 4 islands,
// one to three fragments, both codecs, with and without slow islands, flipped bits and NaN.
std::string storm(uint64_t seed) {
  SimOptions options = quick();
  options.seed = seed;
  options.num_islands = 2 + static_cast<int>(seed % 3);
  options.num_fragments = 1 + static_cast<int>(seed / 3 % 3);
  options.exchange.inner_steps = 4 * options.num_fragments;
  options.exchange.alpha = seed % 2 == 0 ? 0.5 : 0.0;
  options.exchange.overlap_steps = seed % 8 == 0 ? 0 : 1;
  if (seed % 5 == 0) {
    options.exchange.upload = options.exchange.download = CodecKind::kIdentity;
  }
  if (seed % 11 == 4) {
    options.exchange.mode = ExchangeMode::kGradient;
    options.exchange.upload = options.exchange.download = CodecKind::kIdentity;
    options.num_fragments = 1;
    options.exchange.inner_steps = 1;
  }
  options.rounds = 8;
  options.loss = 0.05;
  options.duplicates = 0.05;
  options.jitter_seconds = 0.05;
  options.crash_rate = 0.1;
  options.crash_at_action = 0.0005;
  options.cut_rate = 0.1;
  if (seed % 4 == 1) options.slow[0] = 3;
  if (seed % 7 == 2) options.flip_rate = 0.01;
  if (seed % 7 == 3 && options.exchange.mode == ExchangeMode::kLocal) options.nan_rate = 0.01;
  options.faults_end_seconds = 6;
  return Simulator(options).run();
}

class Storm : public testing::TestWithParam<uint64_t> {};
TEST_P(Storm, EverySeedHoldsTheInvariants) {
  for (uint64_t i = 1; i <= 20; ++i) EXPECT_EQ(storm(GetParam() * 20 + i), "");
}
INSTANTIATE_TEST_SUITE_P(Seeds, Storm, testing::Range<uint64_t>(0, 11));

TEST(SlowStorm, TwoThousandMoreSeeds) {
  for (uint64_t seed = 1000; seed < 3000; ++seed) EXPECT_EQ(storm(seed), "");
}

}  // namespace
}  // namespace skarv::wan
