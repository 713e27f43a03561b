#include "plan/search/cuts.h"

#include <gtest/gtest.h>

#include <functional>

#include "plan/search/two_hosts.h"

namespace skarv {
namespace {

constexpr int64_t kMicrobatches = 3;
constexpr int64_t kNever = INT64_MAX;

struct Work {
  int64_t slowest = 0, total = 0;
};

Work work_of(const World& world, const PipelineShape& pipeline) {
  Work work;
  for (const StageShape& stage : pipeline.stages) {
    const int64_t ns = stage_work_ns(world, stage, pipeline.microbatch);
    work.slowest = std::max(work.slowest, ns);
    work.total += ns;
  }
  return work;
}

// All cuts whose stages fit, with recomputation where they do not fit without.
void each_cut(const World& world, PipelineShape pipeline, int s,
              const std::function<void(const PipelineShape&)>& visit) {
  const int first = s == 0 ? 0 : pipeline.stages[s - 1].last;
  const int num_left = pipeline.num_stages() - s - 1;
  const StagePlace place{s, pipeline.num_stages(), kMicrobatches, 1,
                         pipeline.flow == Flow::kZeroBubble};
  StageShape& stage = pipeline.stages[s];
  stage.first = first;
  for (int last = num_left == 0 ? world.num_layers() : first + 1;
       last <= world.num_layers() - num_left; ++last) {
    stage.last = last;
    for (bool again : {false, true}) {
      stage.recompute = again;
      if (!stage_fits(world, stage, pipeline.microbatch, place)) continue;
      if (num_left == 0) {
        visit(pipeline);
      } else {
        each_cut(world, pipeline, s + 1, visit);
      }
      break;
    }
  }
}

// The same devices, each with this part of what the whole model takes on one of them.
World with_memory(const World& world, int percent) {
  const StageShape all{0, 1, 0, world.num_layers(), false};
  const int64_t whole = stage_bytes(world, all, 1, {0, 1, kMicrobatches, 1, false});
  World lowered = world;
  lowered.lower_memory("s/h0/0", world.pool(0).memory - whole * percent / 100);
  return lowered;
}

TEST(Cuts, AreTheBestOfAll) {
  int num_cut = 0, num_recomputing = 0, num_impossible = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const TwoHosts two(seed);
    const World world = two.world();
    for (int percent : {110, 80, 60, 45}) {
      const World lowered = with_memory(world, percent);
      for (int num_stages : {1, 2, 3}) {
        PipelineShape pipeline;
        pipeline.stages.assign(num_stages, {0, 1});
        pipeline.flow = seed % 2 == 0 ? Flow::kZeroBubble : Flow::k1f1b;
        const std::vector<int> holders(num_stages, 1);
        int64_t slowest = kNever, total = kNever;
        each_cut(lowered, pipeline, 0, [&](const PipelineShape& cut) {
          slowest = std::min(slowest, work_of(lowered, cut).slowest);
        });
        const auto even = cut_evenly(lowered, pipeline, kMicrobatches, holders);
        ASSERT_EQ(even.has_value(), slowest < kNever) << seed << " " << percent;
        // What is known is told again, to copies too.
        EXPECT_EQ(cut_evenly(World(lowered), pipeline, kMicrobatches, holders), even);
        if (!even) {
          ++num_impossible;
          continue;
        }
        EXPECT_EQ(work_of(lowered, *even).slowest, slowest) << seed << " " << percent;
        each_cut(lowered, pipeline, 0, [&](const PipelineShape& cut) {
          const Work work = work_of(lowered, cut);
          if (work.slowest <= slowest) total = std::min(total, work.total);
        });
        const auto shortest = cut_shortest(lowered, pipeline, kMicrobatches, holders, slowest);
        ASSERT_TRUE(shortest.has_value()) << seed << " " << percent;
        EXPECT_EQ(work_of(lowered, *shortest).total, total) << seed << " " << percent;
        EXPECT_EQ(cut_shortest(lowered, pipeline, kMicrobatches, holders, slowest), shortest);
        EXPECT_FALSE(cut_shortest(lowered, pipeline, kMicrobatches, holders, slowest - 1));
        ++num_cut;
        for (const StageShape& stage : even->stages) num_recomputing += stage.recompute ? 1 : 0;
      }
    }
  }
  EXPECT_GT(num_cut, 50);
  EXPECT_GT(num_recomputing, 5);
  EXPECT_GT(num_impossible, 5);
}

}  // namespace
}  // namespace skarv
