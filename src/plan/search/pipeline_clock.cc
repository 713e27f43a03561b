#include "plan/search/pipeline_clock.h"

#include <algorithm>

namespace skarv {
namespace {

struct StageTime {
  int64_t forward, input, weight;
  int64_t all() const { return forward + input + weight; }
};

StageTime time_of_stage(const World& world, const StageShape& stage, int microbatch) {
  const CostTable& table = world.table(stage.pool, microbatch, stage.tensor_parallel);
  const auto part = [&](const std::vector<int64_t>& sums) {
    return sums[stage.last] - sums[stage.first];
  };
  StageTime time{part(table.forward), part(table.backward_input), part(table.backward_weight)};
  if (stage.recompute) time.input += time.forward;
  return time;
}

// Devices of the stage's pool that the first replica's earlier stages take before it.
int first_slot(const PipelineGroup& group, int stage) {
  int slot = 0;
  for (int s = 0; s < stage; ++s) {
    const StageShape& earlier = group.pipeline.stages[s];
    if (earlier.pool != group.pipeline.stages[stage].pool) continue;
    slot += earlier.tensor_parallel * (group.is_compact ? 1 : group.replicas);
  }
  return slot;
}

}  // namespace

const LinkCost& edge_link(const World& world, const PipelineGroup& group, int stage) {
  const StageShape& from = group.pipeline.stages[stage];
  const StageShape& to = group.pipeline.stages[stage + 1];
  const int host_from = first_slot(group, stage) / world.pool(from.pool).per_host;
  const int host_to = first_slot(group, stage + 1) / world.pool(to.pool).per_host;
  if (host_from == host_to && world.share_hosts(from.pool, to.pool)) {
    return world.inside(from.pool, to.pool);
  }
  const LinkCost& link = world.between(from.pool, to.pool);
  // A pool on a single host has nothing between hosts.
  return link.bandwidth > 0 ? link : world.inside(from.pool, to.pool);
}

PipelineClock::PipelineClock(const World& world, const PipelineGroup& group)
    : world_(world), group_(group) {
  for (int s = 0; s + 1 < group.pipeline.num_stages(); ++s) {
    edges_.push_back(&edge_link(world, group, s));
    if (!(edges_.back()->bandwidth > 0)) is_possible_ = false;
  }
  if (is_possible_) whole_ = figures(group.pipeline.microbatch);
}

int64_t PipelineClock::edge_ns(int stage, int microbatch) const {
  const int layer = group_.pipeline.stages[stage].last - 1;
  const int64_t bytes = world_.workload().size(layer).output_bytes * microbatch;
  return edges_[stage]->latency_ns + edges_[stage]->transfer_ns(bytes);
}

PipelineClock::Figures PipelineClock::figures(int microbatch) const {
  const std::vector<StageShape>& stages = group_.pipeline.stages;
  const int num_stages = static_cast<int>(stages.size());
  Figures result;
  if (group_.pipeline.flow == Flow::k1f1b) {
    int64_t loop = 0;  // from the forward of stage s to the end of its backward
    for (int s = num_stages - 1; s >= 0; --s) {
      const int64_t work = time_of_stage(world_, stages[s], microbatch).all();
      loop += work;
      if (s + 1 < num_stages) loop += 2 * edge_ns(s, microbatch);
      result.slowest = std::max(result.slowest, work);
    }
    result.period = result.slowest;
    result.fill = loop;
    return result;
  }
  // Lead: until the stage has its first input. Tail: from its last backward for inputs to the end
  // of the first stage's, less the weights that are done meanwhile.
  int64_t lead = 0, tail = 0;
  for (int s = 0; s < num_stages; ++s) {
    const StageTime time = time_of_stage(world_, stages[s], microbatch);
    result.slowest = std::max(result.slowest, time.all());
    result.fill = std::max(result.fill, lead + time.all() + std::max<int64_t>(0, tail));
    if (s + 1 == num_stages) break;
    const int64_t edge = edge_ns(s, microbatch);
    lead += time.forward + edge;
    tail += time.input + edge - time.weight;
  }
  result.period = result.slowest;
  return result;
}

const PipelineClock::Figures& PipelineClock::rest(int samples) const {
  rests_.resize(std::max<size_t>(rests_.size(), samples + 1));
  if (rests_[samples].fill == 0) rests_[samples] = figures(samples);
  return rests_[samples];
}

int64_t PipelineClock::time_of(int64_t whole, int rest) const {
  if (whole == 0) return rest == 0 ? 0 : this->rest(rest).fill;
  const int64_t time = whole_.fill + (whole - 1) * whole_.period;
  return rest == 0 ? time : time + this->rest(rest).slowest;
}

int64_t PipelineClock::time_ns(int64_t samples) const {
  const int size = group_.pipeline.microbatch;
  return time_of(samples / size, static_cast<int>(samples % size));
}

int64_t PipelineClock::samples_within(int64_t ns, int64_t most) const {
  const int size = group_.pipeline.microbatch;
  int64_t whole =
      ns < whole_.fill ? 0 : 1 + (ns - whole_.fill) / std::max<int64_t>(1, whole_.period);
  whole = std::min(whole, most / size);
  int low = 0, high = static_cast<int>(std::min<int64_t>(size - 1, most - whole * size));
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (time_of(whole, middle) <= ns) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return whole * size + low;
}

}  // namespace skarv
