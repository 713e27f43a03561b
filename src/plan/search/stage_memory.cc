#include "plan/search/stage_memory.h"

#include <algorithm>

namespace skarv {
namespace {

constexpr int64_t kGradientBytes = 4;  // fp32
constexpr int64_t kKeeperBytes = 24;   // host memory, an owned parameter (protocol.md, 7)

int64_t held_parameters(const World& world, const StageShape& stage) {
  int64_t held = world.parameters()[stage.last] - world.parameters()[stage.first];
  if (stage.last == world.num_layers() && stage.first > 0) held += world.tied_parameters();
  return held;
}

}  // namespace

int64_t stage_bytes(const World& world, const StageShape& stage, int microbatch, Flow flow,
                    const StagePlace& place) {
  const int64_t held = held_parameters(world, stage);
  const int degree = stage.tensor_parallel;
  const int64_t weights = (held + degree - 1) / degree * (world.weight_bytes() + kGradientBytes);
  const int holders = std::max(place.num_holders, degree);
  const int64_t optimizer = (held + holders - 1) / holders * world.optimizer_bytes();
  // Weights that wait keep their microbatch.
  const int64_t depth = flow == Flow::k1f1b ? place.num_stages - place.index : place.num_stages;
  const int64_t in_flight = std::min(depth, place.num_microbatches);
  const CostTable& table = world.table(stage.pool, microbatch, degree);
  const int64_t kept = table.kept[stage.last] - table.kept[stage.first];
  const int64_t input =
      world.workload().size(stage.first > 0 ? stage.first - 1 : 0).output_bytes * microbatch;
  const int64_t activations = stage.recompute ? in_flight * input + kept : in_flight * kept;
  return world.pool(stage.pool).base + weights + optimizer + activations;
}

bool stage_fits(const World& world, const StageShape& stage, int microbatch, Flow flow,
                const StagePlace& place) {
  const Pool& pool = world.pool(stage.pool);
  if (stage_bytes(world, stage, microbatch, flow, place) > pool.memory) return false;
  if (pool.host_memory == 0) return true;
  // Half of the host's devices may be of other stages: they count there.
  const int64_t owned = held_parameters(world, stage) / std::max(place.num_holders, 1);
  return owned * kKeeperBytes * pool.devices_on_host <= pool.host_memory;
}

bool settle_memory(const World& world, int num_pipelines, PipelineGroup& group) {
  for (int s = 0; s < group.pipeline.num_stages(); ++s) {
    StageShape& stage = group.pipeline.stages[s];
    const StagePlace place{s, group.pipeline.num_stages(),
                           std::max<int64_t>(1, group.num_microbatches()),
                           stage.tensor_parallel * num_pipelines};
    stage.recompute = false;
    if (stage_fits(world, stage, group.pipeline.microbatch, group.pipeline.flow, place)) continue;
    stage.recompute = true;
    if (!stage_fits(world, stage, group.pipeline.microbatch, group.pipeline.flow, place)) {
      return false;
    }
  }
  return true;
}

}  // namespace skarv
