#include "plan/search/pipeline_replay.h"

#include <algorithm>

#include "plan/schedule/goal.h"
#include "plan/schedule/order_cache.h"
#include "plan/search/cuts.h"
#include "plan/search/pipeline_clock.h"
#include "plan/search/stage_memory.h"

namespace skarv {
namespace {

StageTimes times_of(const World& world, const StageShape& stage, int microbatch) {
  const CostTable& table = world.table(stage.pool, microbatch, stage.tensor_parallel);
  const auto part = [&](const std::vector<int64_t>& sums) {
    return sums[stage.last] - sums[stage.first];
  };
  StageTimes times{part(table.forward), part(table.backward_input), part(table.backward_weight),
                   part(table.kept), 0};
  if (!stage.recompute) return times;
  times.backward_input_ns += times.forward_ns;
  int64_t input = 0;
  if (stage.first > 0) {
    input = world.workload().size(stage.first - 1).output_bytes * microbatch;
  }
  times.freed_by_input = std::min<int64_t>(0, input - times.kept_bytes);
  times.kept_bytes = input;
  return times;
}

}  // namespace

int64_t replay_ns(const World& world, const PipelineGroup& group, int64_t samples,
                  int num_pipelines, int64_t give_up_ns) {
  const PipelineShape& shape = group.pipeline;
  const int size = static_cast<int>(std::min<int64_t>(shape.microbatch, samples));
  const int num_stages = shape.num_stages();
  const int64_t num_microbatches = (samples + size - 1) / size;
  const std::vector<const LinkCost*> links = edge_links(world, group);
  const bool is_split = shape.flow == Flow::kZeroBubble;
  PipelineTimes times;
  times.num_microbatches = static_cast<int>(num_microbatches);
  for (int s = 0; s < num_stages; ++s) {
    const StageShape& stage = shape.stages[s];
    times.stages.push_back(times_of(world, stage, size));
    times.worker_of_stage.push_back(s);
    const StagePlace place{s, num_stages, 0, stage.tensor_parallel * num_pipelines, is_split};
    int64_t room = world.pool(stage.pool).memory - stage_bytes(world, stage, size, place);
    const StageTimes& last = times.stages.back();
    // As plan/schedule/island_times.cc: what the inputs' half makes anew is counted by the order;
    // whole quarters of one microbatch, at least one.
    if (is_split) room += last.added_by_input();
    const int64_t one = last.kept_bytes + last.added_by_input();
    const int64_t limit = std::clamp(room - room / 20, one, one * num_microbatches);
    times.memory_bytes.push_back(one == 0 ? 0 : limit * 4 / one * one / 4);
    if (s + 1 == num_stages) break;
    if (!(links[s]->bandwidth > 0)) return INT64_MAX;
    const EdgeTimes edge = edge_times(world, group, *links[s], s, size);
    times.borders.push_back(
        {{edge.activation_ns, edge.latency_ns}, {edge.gradient_ns, edge.latency_ns}});
  }
  int64_t saved = 0;
  if (const int rest = static_cast<int>(samples % size); rest > 0) {
    for (const StageShape& stage : shape.stages) {
      saved =
          std::max(saved, stage_work_ns(world, stage, size) - stage_work_ns(world, stage, rest));
    }
  }
  const int64_t least = Bounds(is_split ? times : with_whole_backwards(times)).makespan_ns();
  if (least - saved >= give_up_ns) return give_up_ns;
  const Result<OrderRule> rule = find_order_rule(name_of(shape.flow));
  if (!rule.ok()) return INT64_MAX;
  OrderOptions options;
  options.max_pieces = 0;
  OrderCache* known = world.orders();
  int64_t makespan = known == nullptr ? -1 : known->makespan(*rule, times, options);
  if (makespan < 0) {
    const Result<OrderedPipeline> ordered = order_pipeline(*rule, times, options);
    if (!ordered.ok() || !ordered->played.is_valid) return INT64_MAX;
    makespan = ordered->played.makespan_ns;
    if (known != nullptr) known->add_makespan(*rule, times, options, makespan);
  }
  return makespan - saved;
}

}  // namespace skarv
