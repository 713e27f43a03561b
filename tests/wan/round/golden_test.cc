// Trajectories against references written out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "wan/round/simulator.h"

namespace skarv::wan {
namespace {

using What = Simulator::Moment::What;

SimOptions lossless() {
  SimOptions options;
  options.num_islands = 2;
  options.rounds = 6;
  options.exchange.inner_steps = 4;
  options.exchange.detection_seconds = 0.5;
  options.exchange.round_budget_seconds = 3;
  options.exchange.upload = options.exchange.download = CodecKind::kIdentity;
  options.exchange.learning_rate = 0.7;
  options.exchange.momentum = 0.9;
  options.exchange.clip_to_median = 0;
  return options;
}

// One weight (1x1) through the whole run, in double: inner steps, deltas, merge, Nesterov. Uses
// only the journal of what happened when, and from the ledger who took part with what weight.
double reference(const Simulator& run, int64_t element, double alpha) {
  const double lr = run.run_settings().exchange.learning_rate;
  const double mu = run.run_settings().exchange.momentum;
  std::vector<double> w{run.initial_weights()[static_cast<size_t>(element)]};  // by round
  double m = 0;
  std::map<int, double> x;
  std::map<std::pair<int, int64_t>, double> snapshot;
  const auto outer = [&](int64_t round) {
    while (static_cast<int64_t>(w.size()) <= round) {
      const Record& record = run.ledger()[w.size() - 1].record;
      double delta = 0, total = 0;
      for (const RecordEntry& entry : record.delivered) {
        const Contribution& contribution = entry.contribution;
        const int island = contribution.island[0] - 'a';
        const double share = static_cast<double>(contribution.tokens) *
                             static_cast<double>(contribution.tokens) /
                             static_cast<double>(contribution.steps);
        total += share;
        delta += share * (w.back() - snapshot.at({island, record.round}));
      }
      delta /= total;
      m = mu * m + delta;
      w.push_back(w.back() - lr * (delta + mu * m));
    }
    return w[static_cast<size_t>(round)];
  };
  for (const Simulator::Moment& moment : run.journal()) {
    double& value = x[moment.island];
    if (moment.what == What::kStart) value = outer(moment.round);
    if (moment.what == What::kSnapshot) snapshot[{moment.island, moment.round}] = value;
    if (moment.what == What::kStep) {
      double gradient = 0;
      for (uint64_t sample : moment.samples) {
        gradient += Simulator::toy_gradient(static_cast<float>(value), element, sample);
      }
      value -= 0.05 / static_cast<double>(moment.samples.size()) * gradient;
    }
    if (moment.what != What::kApply) continue;
    const double now = outer(moment.round);
    if (moment.verdict == LocalVerdict::kReset) value = now;
    if (moment.verdict == LocalVerdict::kIncluded) value = alpha * value + (1 - alpha) * now;
    if (moment.verdict == LocalVerdict::kExcluded) value += now - outer(moment.round - 1);
  }
  return outer(static_cast<int64_t>(run.ledger().size()));
}

void expect_reference(Simulator& run, double alpha) {
  ASSERT_EQ(run.run(), "");
  const std::vector<float> weights = run.outer_weights(0);
  for (int64_t element : {0, 5, 77}) {
    EXPECT_NEAR(weights[static_cast<size_t>(element)], reference(run, element, alpha), 2e-6);
  }
}

TEST(Golden, OuterTrajectoryOfOneWeight) {
  SimOptions options = lossless();
  options.exchange.alpha = 0.5;
  Simulator run(options);
  expect_reference(run, 0.5);
}

TEST(Golden, OuterTrajectoryThroughFailures) {
  SimOptions options = lossless();
  options.num_islands = 3;
  options.rounds = 8;
  options.slow[2] = 5;  // left out of rounds
  options.exchange.contributions = 2;
  options.exchange.min_contributors = 1;
  Simulator run(options);
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 2; }, 60));
  run.crash_island(1, true, 1.5);
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 4; }, 60));
  run.crash_island(0, false, 0.3);
  run.crash_coordinator(0.5);
  expect_reference(run, 0.0);
  bool excluded = false;
  for (const Simulator::Moment& moment : run.journal()) {
    excluded |= moment.what == What::kApply && moment.verdict == LocalVerdict::kExcluded;
  }
  EXPECT_TRUE(excluded);
}

// Outer rate 1 and no momentum: the outer weights are the snapshot, so nothing but rounding parts
// the run from training without any exchange.
TEST(Golden, OneIslandWithRateOneIsPlainTraining) {
  SimOptions options = lossless();
  options.num_islands = 1;
  options.exchange.learning_rate = 1.0;
  options.exchange.momentum = 0.0;
  options.exchange.overlap_steps = 0;
  Simulator run(options);
  ASSERT_EQ(run.run(), "");
  const std::vector<float> weights = run.outer_weights(0);
  for (int64_t element = 0; element < 100; ++element) {
    float x = run.initial_weights()[static_cast<size_t>(element)];
    int64_t num_steps = 0;
    for (const Simulator::Moment& moment : run.journal()) {
      if (moment.what != What::kStep || num_steps == options.rounds * 4) continue;
      ++num_steps;
      float gradient = 0;
      for (uint64_t sample : moment.samples) {
        gradient += Simulator::toy_gradient(x, element, sample);
      }
      x -= 0.05f / 4.0f * gradient;
    }
    EXPECT_NEAR(weights[static_cast<size_t>(element)], x, 1e-6);
  }
}

SimOptions exact() {
  SimOptions options = lossless();
  options.exchange.mode = ExchangeMode::kGradient;
  options.exchange.inner_steps = 1;
  options.exchange.overlap_steps = 0;
  options.optimizer.learning_rate = 0.01;
  options.optimizer.clip = 0.5;
  options.rounds = 8;
  return options;
}

// AdamW of one process over the samples of both islands: the very same bits.
TEST(Golden, ExactModeWithTwoIslandsIsOneProcess) {
  SimOptions options = exact();
  Simulator run(options);
  ASSERT_EQ(run.run(), "");
  const SlabTable& table = run.table();
  std::vector<float> w = run.initial_weights(), m(w.size(), 0.0f), v(w.size(), 0.0f);
  std::map<int, std::vector<std::vector<uint64_t>>> steps;
  for (const Simulator::Moment& moment : run.journal()) {
    if (moment.what == What::kStep) steps[moment.island].push_back(moment.samples);
  }
  bool clipped = false;
  for (int64_t n = 1; n <= options.rounds; ++n) {
    const auto step = static_cast<size_t>(n - 1);
    std::vector<float> gradient(w.size(), 0.0f);
    double norm = 0;
    for (size_t e = 0; e < w.size(); ++e) {
      float sums[2] = {0, 0};
      for (int island : {0, 1}) {
        for (uint64_t sample : steps[island][step]) {
          sums[island] += Simulator::toy_gradient(w[e], static_cast<int64_t>(e), sample);
        }
      }
      gradient[e] = (sums[0] + sums[1]) / 8.0f;
      norm += static_cast<double>(gradient[e]) * gradient[e];
    }
    norm = std::sqrt(norm);
    const OptimizerSettings& adam = options.optimizer;
    const auto bits = [](double value) { return arithmetic::bits_of(static_cast<float>(value)); };
    arithmetic::AdamScalars scalars;
    scalars.learning_rate = bits(learning_rate_at(run.run_settings(), n - 1));
    scalars.beta1 = bits(adam.beta1);
    scalars.rest1 = bits(1 - adam.beta1);
    scalars.beta2 = bits(adam.beta2);
    scalars.rest2 = bits(1 - adam.beta2);
    scalars.epsilon = bits(adam.epsilon);
    scalars.weight_decay = bits(adam.weight_decay);
    scalars.clip = bits(norm > adam.clip ? adam.clip / norm : 1.0);
    clipped |= norm > adam.clip;
    scalars.correction1 = bits(1 - std::pow(adam.beta1, static_cast<double>(n)));
    scalars.root_correction2 = bits(std::sqrt(1 - std::pow(adam.beta2, static_cast<double>(n))));
    size_t offset = 0;
    for (int slab = 0; slab < table.size(); ++slab) {
      const auto size = static_cast<size_t>(table[slab].size());
      const auto part = [&](std::vector<float>& all) {
        return std::span(all).subspan(offset, size);
      };
      arithmetic::adam_step(scalars, table.tensor_of(slab).decays, {part(w), part(m), part(v)},
                            part(gradient), {part(w), part(m), part(v)});
      offset += size;
    }
  }
  EXPECT_TRUE(clipped);
  EXPECT_EQ(run.outer_weights(0), w);
  EXPECT_EQ(run.outer_weights(1), w);
}

// Gradients that are there before their round is open are taken when it opens.
TEST(Golden, ExactModeWithStepsFasterThanTheNetwork) {
  SimOptions options = exact();
  options.step_seconds = 0.0001;
  Simulator run(options);
  int64_t opened = 0;
  int num_early = 0;
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    if (from == kCoordinatorName && std::holds_alternative<Open>(message.body)) {
      opened = std::max(opened, message.fence.round);
      num_early += run.steps_done(0) >= opened;
    }
    return true;
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_GT(num_early, 0);
  for (const CommittedRound& row : run.ledger()) {
    ASSERT_EQ(row.record.delivered.size(), 2u);
    for (const RecordEntry& entry : row.record.delivered) {
      EXPECT_EQ(entry.contribution.steps, 1);
      EXPECT_EQ(entry.contribution.tokens, 4);
    }
  }
}

// An island that has to fetch its outer state anew computes the gradients of its round again.
TEST(Golden, ExactModeCountsAStepOnceThroughAFetchedState) {
  SimOptions options = exact();
  options.num_islands = 3;
  Simulator run(options);
  bool damaged = false;
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (island != 1 || apply == nullptr || apply->order.round != 2 || damaged) return;
    damaged = true;
    done.state_root = {};
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_TRUE(run.said("b fetches its outer state"));
  for (const CommittedRound& row : run.ledger()) {
    ASSERT_EQ(row.record.delivered.size(), 3u);
    for (const RecordEntry& entry : row.record.delivered) EXPECT_EQ(entry.contribution.steps, 1);
  }
}

TEST(Golden, ExactModeSurvivesRestartsWithAllContributions) {
  SimOptions options = exact();
  Simulator run(options);
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 3; }, 60));
  run.crash_island(1, false, 1.0);
  run.crash_coordinator(0.5);
  ASSERT_EQ(run.run(), "");
  for (const CommittedRound& row : run.ledger()) EXPECT_EQ(row.record.delivered.size(), 2u);
}

}  // namespace
}  // namespace skarv::wan
