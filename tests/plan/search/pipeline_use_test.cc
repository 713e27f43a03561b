#include "plan/search/pipeline_use.h"

#include <gtest/gtest.h>

namespace skarv {
namespace {

Pipeline pipeline_of(int64_t samples, int microbatch, const std::vector<int>& borders) {
  Pipeline pipeline{microbatch, samples, "1f1b", {}};
  for (size_t s = 0; s + 1 < borders.size(); ++s) {
    pipeline.stages.push_back({borders[s], borders[s + 1], {}});
  }
  return pipeline;
}

struct Shared {
  std::vector<Island> islands;
  std::vector<std::vector<PipelineUse>> use;
  std::vector<int64_t> tail_ns;

  std::vector<SampleMove> moves() const {
    std::vector<UsedIsland> used;
    for (size_t i = 0; i < islands.size(); ++i) used.push_back({&islands[i], &use[i], tail_ns[i]});
    return even_out(used);
  }
};

// Ten nanoseconds a sample.
TEST(EvenOut, MovesSamplesUntilAllEndTogether) {
  Shared shared{{{"a", {pipeline_of(14, 1, {0, 4}), pipeline_of(10, 1, {0, 4})}}},
                {{{140, {}}, {100, {}}}},
                {0}};
  const std::vector<SampleMove> moves = shared.moves();
  ASSERT_EQ(moves.size(), 2);
  for (const SampleMove& move : moves) {
    EXPECT_EQ(move.from, 0);
    EXPECT_EQ(move.to, 1);
    EXPECT_EQ(move.samples, 1);
  }
  shared.use = {{{120, {}}, {110, {}}}};  // one more would end last in turn
  EXPECT_TRUE(shared.moves().empty());
}

TEST(EvenOut, CountsWhatComesAfterThePipelinesOfAnIsland) {
  Shared shared{{{"a", {pipeline_of(10, 1, {0, 4})}}, {"b", {pipeline_of(10, 1, {0, 4})}}},
                {{{100, {}}}, {{100, {}}}},
                {0, 45}};
  const std::vector<SampleMove> moves = shared.moves();
  ASSERT_EQ(moves.size(), 2);
  EXPECT_EQ(moves[0].from_island, 1);
  EXPECT_EQ(moves[0].to_island, 0);
}

TEST(EvenOut, LeavesEveryPipelineAMicrobatch) {
  Shared shared{{{"a", {pipeline_of(4, 2, {0, 4}), pipeline_of(1, 1, {0, 4})}}},
                {{{1000, {}}, {1, {}}}},
                {0}};
  const std::vector<SampleMove> moves = shared.moves();
  ASSERT_EQ(moves.size(), 1);
  EXPECT_EQ(moves[0].samples, 2);
}

TEST(TailNs, IsWhatComesAfterTheLastPipeline) {
  EXPECT_EQ(tail_ns(130, {{100, {}}, {120, {}}}), 10);
}

// Ten nanoseconds a layer, and a stage that has two too many.
TEST(Reliefs, GoFromTheLongestStageToTheShortest) {
  const Pipeline pipeline = pipeline_of(8, 1, {0, 4, 10, 13});
  const std::vector<LayerMove> moves = reliefs(pipeline, {200, {40, 60, 30}}, {0, 1, 2});
  // To either of the others; or to the last one, which would be shorter even if it recomputed.
  ASSERT_EQ(moves.size(), 3);
  for (const LayerMove& move : moves) EXPECT_EQ(move.from, 1);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(moves[i].gain_ns, 10);
    EXPECT_FALSE(moves[i].keeps_from || moves[i].recomputes_to);
  }
  EXPECT_TRUE(moves[2].recomputes_to);
  EXPECT_EQ(moves[2].to, 2);
  EXPECT_EQ(moves[2].gain_ns, 60 - 53);
  EXPECT_TRUE(reliefs(pipeline_of(8, 1, {0, 4, 8}), {200, {40, 40}}, {0, 1}).empty());
  EXPECT_TRUE(reliefs(pipeline_of(8, 1, {0, 1, 2}), {200, {40, 10}}, {0, 1}).empty());
}

TEST(Reliefs, MayEndOrBeginARecomputation) {
  Pipeline pipeline = pipeline_of(8, 1, {0, 4, 8});
  pipeline.stages[0].recompute = Recompute::kFull;
  const std::vector<LayerMove> moves = reliefs(pipeline, {500, {160, 60}}, {0, 1});
  ASSERT_EQ(moves.size(), 4);
  EXPECT_TRUE(moves[0].keeps_from);
  EXPECT_FALSE(moves[0].recomputes_to);
  EXPECT_EQ(moves[0].gain_ns, 160 - 90);  // three quarters of three layers
  EXPECT_TRUE(moves[1].recomputes_to);
  EXPECT_EQ(moves[1].gain_ns, 160 - 100);  // five layers and a third
  EXPECT_EQ(moves[2].gain_ns, 40);
}

}  // namespace
}  // namespace skarv
