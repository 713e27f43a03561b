#include <gtest/gtest.h>

#include <algorithm>

#include "agent.h"
#include "shared_memory.h"

namespace skarv::train {
namespace {

// Edges between stages, a Gloo group in one site, and net groups across two sites.
IslandSpec three_ranks(int64_t steps) {
  return {.run = tiny_run(steps),
          .pipelines = {pipeline_of(2, 7, {{0, 3, "north/a/0"}, {3, 6, "north/a/1"}}),
                        pipeline_of(5, 5, {{0, 6, "south/a/0"}})},
          .transport = "tcp"};
}

void start_all(Agent& agent) {
  for (int rank = 0; rank < agent.num_ranks(); ++rank) agent.start(rank);
  agent.connect(1);
  agent.load({});
}

std::vector<double> numbers_of(const std::vector<handoff::StepDone>& done) {
  std::vector<double> numbers;
  for (const handoff::StepDone& each : done) {
    numbers.push_back(each.loss_sum);
    numbers.push_back(each.gradient_norm);
  }
  return numbers;
}

TEST(Worker, PeersOfAKilledOneGoOnBitEqual) {
  constexpr int64_t kSaved = 2, kLast = 5;
  std::vector<std::vector<double>> undisturbed;
  {
    Agent agent(three_ranks(10));
    start_all(agent);
    for (int64_t step = 0; step <= kLast; ++step) {
      undisturbed.push_back(numbers_of(agent.step({.step = step})));
    }
  }

  Agent agent(three_ranks(10));
  start_all(agent);
  for (int64_t step = 0; step <= kSaved; ++step) {
    EXPECT_EQ(numbers_of(agent.step({.step = step, .inner_snapshot = step == kSaved ? 1 : -1})),
              undisturbed[step]);
  }
  // Rank 2 dies while the others wait for it in a step.
  for (int rank : {0, 1}) agent.send(rank, agent.with_samples({.step = kSaved + 1}));
  const Time killed = Clock::real().now();
  agent.kill(2);
  for (int rank : {0, 1}) {
    const auto failed = agent.await<handoff::Failed>(rank);
    EXPECT_TRUE(failed.peer_fault) << failed.message;
    EXPECT_EQ(failed.incarnation, 1);
    EXPECT_LT(to_seconds(Clock::real().now() - killed), Agent::kDetectionSeconds);
  }

  agent.start(2);
  agent.connect(2);
  agent.load({.from_inner = true, .parity = 1, .step = kSaved + 1});
  for (int64_t step = kSaved + 1; step <= kLast; ++step) {
    EXPECT_EQ(numbers_of(agent.step({.step = step})), undisturbed[step]) << "step " << step;
  }
}

// A Connect interrupts a step that waits, with nothing to complain about.
TEST(Worker, ANewIncarnationInterruptsAStep) {
  Agent agent(three_ranks(10));
  start_all(agent);
  for (int rank : {0, 1}) agent.send(rank, agent.with_samples({.step = 0}));
  agent.connect(2);
  agent.load({});
  EXPECT_GT(agent.step({.step = 0})[1].loss_sum, 0);
}

TEST(Worker, StepsAreAccountedFor) {
  Agent agent(three_ranks(10));
  start_all(agent);
  const auto done = agent.step({.step = 0});
  int64_t tokens = 0;
  for (const handoff::StepDone& each : done) {
    tokens += each.tokens;
    EXPECT_GT(each.seconds, 0);
    EXPECT_GT(each.bytes_sent, 0);
    EXPECT_FALSE(each.skipped);
    EXPECT_EQ(each.gradient_norm, done[0].gradient_norm);
  }
  EXPECT_EQ(tokens, 12 * 16);
  EXPECT_EQ(done[0].tokens, 0);  // no head
  EXPECT_EQ(done[0].work_tokens, 7 * 16);
}

// With a learning rate this small AdamW changes no fp32 weight, so what a step applies can be read
// back by the snapshot after it.
IslandSpec still(int num_fragments) {
  IslandSpec spec = three_ranks(10);
  spec.run.optimizer.learning_rate = 1e-30;
  spec.run.exchange.num_fragments = num_fragments;
  return spec;
}

std::vector<float> snapshot_of(Agent& agent, int slab) {
  const auto values = agent.memory().at(slab).snapshot;
  return {values.begin(), values.end()};
}

TEST(Worker, AppliesMergedWeightsByVerdict) {
  Agent agent(still(1));
  start_all(agent);
  agent.step({.step = 0, .snapshot = handoff::SnapshotOrder{1, 0}});
  std::vector<float> x = snapshot_of(agent, 0);
  const auto outer = agent.memory().w_now(0);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), outer.begin()));

  const auto apply = [&](int64_t step, handoff::Verdict verdict, double alpha, float shift) {
    for (int slab = 0; slab < agent.table().size(); ++slab) {
      const auto now = agent.memory().w_now(slab);
      std::vector<float> next(now.begin(), now.end());
      for (float& value : next) value += shift;
      set_outer(agent.memory(), slab, next);
    }
    agent.step({.step = step,
                .apply = handoff::ApplyOrder{step, 0, verdict, alpha},
                .snapshot = handoff::SnapshotOrder{step, 0}});
  };
  apply(1, handoff::Verdict::kIncluded, 0.25, 1.0f);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(snapshot_of(agent, 0)[i], x[i] + 0.75, 1e-6);
    if (i > 10) break;
  }
  apply(2, handoff::Verdict::kExcluded, 0, 0.5f);
  EXPECT_NEAR(snapshot_of(agent, 0)[3], x[3] + 1.25, 1e-6);
  apply(3, handoff::Verdict::kReset, 0, 0.0f);
  EXPECT_EQ(snapshot_of(agent, 0)[3], agent.memory().w_now(0)[3]);
}

TEST(Worker, GradientModeTakesTheMergedWeights) {
  IslandSpec spec = three_ranks(10);
  Agent agent(spec);
  start_all(agent);
  std::vector<double> norms;
  for (int64_t step = 0; step < 3; ++step) {
    const handoff::Step order = agent.with_samples(
        {.step = step, .inner_snapshot = 0, .exchange = handoff::SnapshotOrder{step + 1, 0}});
    for (int rank = 0; rank < 3; ++rank) agent.send(rank, order);
    double squared_norm = 0;
    for (int rank = 0; rank < 3; ++rank) {
      squared_norm += agent.await<handoff::SnapshotDone>(rank).squared_norm;
    }
    // The agent's outer step, here plain descent.
    for (int slab = 0; slab < agent.table().size(); ++slab) {
      const auto now = agent.memory().w_now(slab);
      std::vector<float> next(now.begin(), now.end());
      for (size_t i = 0; i < next.size(); ++i)
        next[i] -= 0.1f * agent.memory().at(slab).snapshot[i];
      set_outer(agent.memory(), slab, next);
    }
    for (int rank = 0; rank < 3; ++rank) {
      agent.send(rank, handoff::Apply{{step + 1, 0, handoff::Verdict::kReset}});
    }
    for (int rank = 0; rank < 3; ++rank) {
      const auto done = agent.await<handoff::StepDone>(rank);
      EXPECT_NEAR(done.gradient_norm * done.gradient_norm / squared_norm, 1, 1e-5);
    }
    for (int slab = 0; slab < agent.table().size(); ++slab) {
      const auto x = agent.memory().at(slab).x[0];
      EXPECT_TRUE(std::equal(x.begin(), x.end(), agent.memory().w_now(slab).begin()));
    }
  }
}

}  // namespace
}  // namespace skarv::train
