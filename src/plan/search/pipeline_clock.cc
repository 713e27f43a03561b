#include "plan/search/pipeline_clock.h"

#include <algorithm>
#include <cmath>

#include "plan/search/stage_memory.h"

namespace skarv {
namespace {

// Device to host memory and back where makers or sites meet (plan/simulate/routes.cc).
constexpr int64_t kHostCopyBytesPerMicrosecond = 24000;

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

// Where the replicas of a stage lie among the devices of its pool, in the placement of assembly.h:
// one every `stride` from `first` on.
struct Slots {
  int first = 0, stride = 0, per_host = 1;
  int host(int replica) const { return (first + replica * stride) / per_host; }
};

int num_replicas(const PipelineGroup& group) {
  return std::max(group.replicas, group.dealt_together);
}

// By stage.
std::vector<Slots> slots_of(const World& world, const PipelineGroup& group) {
  std::vector<int> next(world.pools().size(), 0);
  std::vector<Slots> slots;
  for (const StageShape& stage : group.pipeline.stages) {
    const int per_host = world.pool(stage.pool).per_host, degree = stage.tensor_parallel;
    // A tensor-parallel group lies within a host.
    const int left = per_host - next[stage.pool] % per_host;
    if (degree > left) next[stage.pool] += left;
    slots.push_back({next[stage.pool], degree, per_host});
    next[stage.pool] += degree * (group.is_compact ? 1 : num_replicas(group));
  }
  for (size_t s = 0; group.is_compact && s < slots.size(); ++s) {
    slots[s].stride = next[group.pipeline.stages[s].pool];
  }
  return slots;
}

// Whether the stage and the next one lie on one host in every replica; hosts repeat after as many
// replicas as a host has devices.
bool stays_on_host(const World& world, const PipelineGroup& group, const std::vector<Slots>& slots,
                   size_t stage) {
  const StageShape& from = group.pipeline.stages[stage];
  const StageShape& to = group.pipeline.stages[stage + 1];
  if (!world.share_hosts(from.pool, to.pool)) return false;
  // Replicas side by side fill the host: the next stage begins on another one.
  if (from.pool == to.pool && !group.is_compact &&
      num_replicas(group) * from.tensor_parallel >= world.pool(from.pool).per_host) {
    return false;
  }
  const Slots &here = slots[stage], &there = slots[stage + 1];
  const int num_different = std::max(here.per_host, there.per_host);
  for (int r = 0; r < std::min(num_replicas(group), num_different); ++r) {
    if (here.host(r) != there.host(r)) return false;
  }
  return true;
}

}  // namespace

std::vector<const LinkCost*> edge_links(const World& world, const PipelineGroup& group) {
  const std::vector<StageShape>& stages = group.pipeline.stages;
  const std::vector<Slots> slots = slots_of(world, group);
  std::vector<const LinkCost*> links;
  for (size_t s = 0; s + 1 < stages.size(); ++s) {
    const int from = stages[s].pool, to = stages[s + 1].pool;
    const LinkCost* link = &world.between(from, to);
    // A pool on a single host has nothing between hosts.
    const bool is_inside = stays_on_host(world, group, slots, s) || !(link->bandwidth > 0);
    links.push_back(is_inside ? &world.inside(from, to) : link);
  }
  return links;
}

EdgeTimes edge_times(const World& world, const PipelineGroup& group, const LinkCost& link,
                     int stage, int microbatch) {
  const StageShape& from = group.pipeline.stages[stage];
  const StageShape& to = group.pipeline.stages[stage + 1];
  EdgeTimes times;
  times.leaves_host = &link == &world.between(from.pool, to.pool);
  const int64_t bytes = world.workload().size(from.last - 1).output_bytes * microbatch;
  times.latency_ns = link.latency_ns;
  if (!times.leaves_host) {
    times.activation_ns = times.gradient_ns = link.transfer_ns(bytes);
    return times;
  }
  const Pool &sender = world.pool(from.pool), &receiver = world.pool(to.pool);
  if (sender.chip.maker != receiver.chip.maker || sender.site != receiver.site) {
    for (const Pool* pool : {&sender, &receiver}) {
      if (pool->chip.maker != "cpu")
        times.latency_ns += bytes * 1000 / kHostCopyBytesPerMicrosecond;
    }
  }
  const auto flows = [&](const StageShape& own, const StageShape& other) {
    const int side_by_side =
        group.is_compact ? 1 : world.pool(own.pool).per_host / own.tensor_parallel;
    return std::clamp(side_by_side, 1, num_replicas(group)) * other.tensor_parallel;
  };
  times.activation_ns = link.transfer_ns(bytes * flows(from, to));
  times.gradient_ns = link.transfer_ns(bytes * flows(to, from));
  return times;
}

PipelineClock::PipelineClock(const World& world, const PipelineGroup& group)
    : world_(world), group_(group), links_(edge_links(world, group)) {
  for (const LinkCost* link : links_) is_possible_ &= link->bandwidth > 0;
  if (is_possible_) whole_ = figures(group.pipeline.microbatch);
}

int64_t PipelineClock::depth(int stage, int microbatch) const {
  const StageShape& shape = group_.pipeline.stages[stage];
  const int num_stages = group_.pipeline.num_stages();
  const int holders = shape.tensor_parallel * group_.replicas;
  const auto bytes = [&](int64_t in_flight) {
    return stage_bytes(world_, shape, microbatch,
                       {num_stages - 1, num_stages, in_flight, holders,
                        group_.pipeline.flow == Flow::kZeroBubble});
  };
  // With one in flight at the last place, and with none: the difference is what each takes.
  const int64_t none = bytes(0), each = std::max<int64_t>(1, bytes(1) - none);
  return std::max<int64_t>(num_stages - stage, (world_.pool(shape.pool).memory - none) / each);
}

PipelineClock::Figures PipelineClock::figures(int microbatch) const {
  const std::vector<StageShape>& stages = group_.pipeline.stages;
  const int num_stages = static_cast<int>(stages.size());
  const bool is_split = group_.pipeline.flow == Flow::kZeroBubble;
  Figures result;
  if (num_stages == 1) {
    result.fill = result.period = result.alone = result.slowest =
        time_of_stage(world_, stages[0], microbatch).all();
    return result;
  }
  // Lead: until the stage has its first input. Tail: from its last backward for inputs to the end
  // of the first stage's, less the weights that are done meanwhile.
  int64_t lead = 0, tail = 0, total = 0;
  // Of a lone microbatch: after its last backward for inputs, with the weights of the stage that
  // ends last.
  int64_t back = 0, after_first = 0;
  EdgeTimes before;
  std::vector<int64_t> own(num_stages);  // of the loop: forward, backward, the way to the next
  for (int s = 0; s < num_stages; ++s) {
    const StageTime time = time_of_stage(world_, stages[s], microbatch);
    EdgeTimes edge;
    if (s + 1 < num_stages) edge = edge_times(world_, group_, *links_[s], s, microbatch);
    result.slowest = std::max(result.slowest, time.all());
    const int64_t sent =
        (edge.leaves_host ? edge.activation_ns : 0) + (before.leaves_host ? before.gradient_ns : 0);
    const int64_t received =
        (edge.leaves_host ? edge.gradient_ns : 0) + (before.leaves_host ? before.activation_ns : 0);
    result.period = std::max({result.period, time.all(), sent, received});
    result.fill = std::max(result.fill, lead + time.all() + std::max<int64_t>(0, tail));
    total += time.all() + edge.round_trip_ns();
    own[s] = (is_split ? time.forward + time.input : time.all()) + edge.round_trip_ns();
    after_first = std::max(after_first, time.weight - back);
    back += time.input + edge.gradient_ns + edge.latency_ns;
    lead += time.forward + edge.activation_ns + edge.latency_ns;
    tail += time.input + edge.gradient_ns + edge.latency_ns - time.weight;
    before = edge;
  }
  if (!is_split) result.fill = total;
  result.alone = is_split ? lead + back + after_first : total;
  int64_t loop = 0;
  for (int s = num_stages - 1; s >= 0; --s) {
    loop += own[s];
    // Memory is looked at only where the usual depth is too small.
    if (loop / (num_stages - s) <= result.period) continue;
    result.period = std::max(result.period, loop / depth(s, microbatch));
  }
  return result;
}

const PipelineClock::Figures& PipelineClock::rest(int samples) const {
  rests_.resize(std::max<size_t>(rests_.size(), samples + 1));
  if (rests_[samples].alone == 0) rests_[samples] = figures(samples);
  return rests_[samples];
}

int64_t PipelineClock::time_of(int64_t whole, int rest) const {
  const int64_t ns = estimate(whole, rest);
  return group_.slowness == 1 ? ns : std::llround(static_cast<double>(ns) * group_.slowness);
}

int64_t PipelineClock::estimate(int64_t whole, int rest) const {
  if (whole == 0) return rest == 0 ? 0 : this->rest(rest).alone;
  const int64_t time =
      whole == 1 ? whole_.alone : std::max(whole_.alone, whole_.fill + (whole - 1) * whole_.period);
  return rest == 0 ? time : time + this->rest(rest).slowest;
}

int64_t PipelineClock::time_ns(int64_t samples) const {
  const int size = group_.pipeline.microbatch;
  return time_of(samples / size, static_cast<int>(samples % size));
}

int64_t PipelineClock::samples_within(int64_t ns, int64_t most) const {
  const int size = group_.pipeline.microbatch;
  if (group_.slowness != 1) {
    ns = static_cast<int64_t>(static_cast<double>(ns) / group_.slowness);
  }
  int64_t whole = ns < whole_.alone ? 0 : 1;
  if (whole == 1 && ns > whole_.fill) {
    whole += (ns - whole_.fill) / std::max<int64_t>(1, whole_.period);
  }
  whole = std::min(whole, most / size);
  int low = 0, high = static_cast<int>(std::min<int64_t>(size - 1, most - whole * size));
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (estimate(whole, middle) <= ns) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return whole * size + low;
}

}  // namespace skarv
