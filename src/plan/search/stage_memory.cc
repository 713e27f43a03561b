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

// While a layer computes: of the last two of the stage the one that asks for more, those before
// have what the later ones kept.
int64_t passing_bytes(const World& world, const StageShape& stage, const CostTable& table) {
  int64_t most = 0, after = 0;
  for (int layer = stage.last - 1; layer >= std::max(stage.first, stage.last - 2); --layer) {
    const bool again = stage.recompute && layer > 0 && layer + 1 < world.num_layers();
    most = std::max(most, table.transient[layer] + (again ? table.layer_kept[layer] : 0) - after);
    const std::vector<int64_t>& sums = stage.recompute ? table.kept_again : table.kept;
    after += sums[layer + 1] - sums[layer];
  }
  return most;
}

// While the inputs' half of a layer computes, and what was computed anew behind it waits for the
// weights' half; what the head kept has gone.
int64_t passing_bytes_of_inputs(const World& world, const StageShape& stage,
                                const CostTable& table) {
  const auto made_again = [&](int layer) { return table.kept[layer] - table.kept_again[layer]; };
  const int64_t head = stage.last == world.num_layers() ? table.layer_kept.back() : 0;
  int64_t most = 0;
  for (int layer = stage.first; layer < stage.last; ++layer) {
    const bool again = layer > 0 && layer + 1 < world.num_layers();
    const int64_t waiting = made_again(stage.last) - made_again(layer + 1);
    const int64_t freed = layer + 1 < world.num_layers() ? head : 0;
    most = std::max(
        most, table.transient[layer] + (again ? table.layer_kept[layer] : 0) + waiting - freed);
  }
  return most;
}

}  // namespace

int64_t stage_bytes(const World& world, const StageShape& stage, int microbatch,
                    const StagePlace& place) {
  const int64_t held = held_parameters(world, stage);
  const int degree = stage.tensor_parallel;
  const int64_t weights = (held + degree - 1) / degree * (world.weight_bytes() + kGradientBytes);
  const int holders = std::max(place.num_holders, degree);
  const int64_t optimizer = (held + holders - 1) / holders * world.optimizer_bytes();
  // Weights that wait keep their microbatch; orders by ZB-H1 hold no more for it.
  const int64_t depth = place.num_stages - place.index;
  const int64_t in_flight = std::min(depth, place.num_microbatches);
  const CostTable& table = world.table(stage.pool, microbatch, degree);
  const std::vector<int64_t>& sums = stage.recompute ? table.kept_again : table.kept;
  const Workload& workload = world.workload();
  int64_t kept = sums[stage.last] - sums[stage.first];
  const int64_t received =
      stage.first > 0 ? workload.size(stage.first - 1).output_bytes * microbatch : 0;
  kept += received;
  int64_t gradient = 0;
  if (stage.last < world.num_layers()) {
    gradient = workload.size(stage.last - 1).output_bytes * microbatch;
  }
  int64_t passing = passing_bytes(world, stage, table);
  if (place.is_split && stage.recompute) {
    passing = std::max(passing, passing_bytes_of_inputs(world, stage, table));
  }
  const int64_t activations = in_flight * kept + gradient + passing;
  // Orders are made for all but a twentieth of what is left (plan/schedule/timed_schedule.h), and
  // for one microbatch in any case.
  const int64_t spare = in_flight > 1 ? activations / 19 : 0;
  return world.pool(stage.pool).base + weights + optimizer + activations + spare;
}

bool stage_fits(const World& world, const StageShape& stage, int microbatch,
                const StagePlace& place) {
  const Pool& pool = world.pool(stage.pool);
  if (stage_bytes(world, stage, microbatch, place) > pool.memory) return false;
  if (pool.host_memory == 0) return true;
  // Half of the host's devices may be of other stages: they count there.
  const int64_t owned = held_parameters(world, stage) / std::max(place.num_holders, 1);
  return owned * kKeeperBytes * pool.devices_on_host <= pool.host_memory;
}

bool settle_memory(const World& world, int num_pipelines, PipelineGroup& group) {
  for (int s = 0; s < group.pipeline.num_stages(); ++s) {
    StageShape& stage = group.pipeline.stages[s];
    const StagePlace place{
        s, group.pipeline.num_stages(), std::max<int64_t>(1, group.num_microbatches()),
        stage.tensor_parallel * num_pipelines, group.pipeline.flow == Flow::kZeroBubble};
    stage.recompute = false;
    if (stage_fits(world, stage, group.pipeline.microbatch, place)) continue;
    stage.recompute = true;
    if (!stage_fits(world, stage, group.pipeline.microbatch, place)) {
      return false;
    }
  }
  return true;
}

}  // namespace skarv
