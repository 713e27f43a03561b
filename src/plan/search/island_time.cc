#include "plan/search/island_time.h"

#include <algorithm>
#include <cmath>

#include "plan/cost/collective.h"
#include "plan/search/pipeline_clock.h"
#include "plan/search/stage_memory.h"

namespace skarv {
namespace {

// Groups that differ in their samples alone, taken together: they lie side by side.
struct Replicas {
  const PipelineGroup* group;
  int count;
};

std::vector<Replicas> alike(const IslandShape& island) {
  std::vector<Replicas> result;
  for (const PipelineGroup& group : island.groups) {
    if (!result.empty() && is_alike(*result.back().group, group)) {
      result.back().count += group.replicas;
    } else {
      result.push_back({&group, group.replicas});
    }
  }
  return result;
}

// Replicas of one stage on one host, in the placement of assembly.h.
int replicas_on_host(const World& world, const Replicas& replicas, const StageShape& stage) {
  const PipelineGroup& group = *replicas.group;
  int width = stage.tensor_parallel;
  if (group.is_compact) {
    width = 0;
    for (const StageShape& other : group.pipeline.stages) {
      if (other.pool == stage.pool) width += other.tensor_parallel;
    }
  }
  return std::clamp(world.pool(stage.pool).per_host / width, 1, replicas.count);
}

struct Member {
  const Replicas* replicas;
  const StageShape* stage;
};

bool slower(const LinkCost& a, const LinkCost& b) { return a.bandwidth < b.bandwidth; }

// By pool: whether all devices of it that the island has lie on one host, since there are few.
std::vector<bool> on_one_host(const World& world, const IslandShape& island) {
  std::vector<int> used(world.pools().size(), 0);
  for (const PipelineGroup& group : island.groups) {
    for (const StageShape& stage : group.pipeline.stages) {
      used[stage.pool] += stage.tensor_parallel * group.replicas;
    }
  }
  std::vector<bool> result(used.size());
  for (size_t p = 0; p < used.size(); ++p) {
    result[p] = used[p] <= world.pool(static_cast<int>(p)).per_host;
  }
  return result;
}

// The devices with the same shard of some layers. False: two of them have no link.
bool shape_of(const World& world, const std::vector<Member>& members,
              const std::vector<bool>& is_near, GroupShape& shape) {
  shape.num_devices = 0;
  shape.devices_per_host = 1;
  const LinkCost* inside = nullptr;
  const LinkCost* between = nullptr;
  int busiest = 1;
  for (const Member& member : members) {
    shape.num_devices += member.replicas->count;
    const int on_host = replicas_on_host(world, *member.replicas, *member.stage);
    shape.devices_per_host = std::max(shape.devices_per_host, on_host);
    busiest = std::max(busiest, world.pool(member.stage->pool).per_host / on_host);
    const LinkCost& own = world.inside(member.stage->pool, member.stage->pool);
    if (on_host > 1 && (inside == nullptr || slower(own, *inside))) inside = &own;
    for (const Member& other : members) {
      if (&other == &member && member.replicas->count == on_host) continue;
      if (other.stage->pool == member.stage->pool && is_near[other.stage->pool]) {
        if (inside == nullptr || slower(own, *inside)) inside = &own;
        continue;
      }
      const LinkCost* link = &world.between(member.stage->pool, other.stage->pool);
      if (!(link->bandwidth > 0)) link = &world.inside(member.stage->pool, other.stage->pool);
      if (!(link->bandwidth > 0)) {
        if (&other == &member) continue;
        return false;
      }
      if (between == nullptr || slower(*link, *between)) between = link;
    }
  }
  if (inside != nullptr) shape.inside = *inside;
  if (between == nullptr) {  // all on one host
    shape.devices_per_host = shape.num_devices;
  } else {
    shape.between = *between;
    shape.num_sharing = busiest;
  }
  return true;
}

bool is_together(const World& world, const std::vector<Member>& members) {
  const Pool& first = world.pool(members.front().stage->pool);
  return std::ranges::all_of(members, [&](const Member& member) {
    const Pool& pool = world.pool(member.stage->pool);
    return pool.site == first.site && pool.chip.maker == first.chip.maker;
  });
}

// Groups that were divided for one sample more are one again.
void merge_equal(IslandShape& island) {
  std::vector<PipelineGroup> merged;
  for (PipelineGroup& group : island.groups) {
    if (!merged.empty() && is_alike(merged.back(), group)) {
      merged.back().replicas += group.replicas;
    } else {
      merged.push_back(std::move(group));
    }
  }
  for (PipelineGroup& group : merged) group.dealt_together = group.replicas;
  island.groups = std::move(merged);
}

}  // namespace

int64_t end_of_step_ns(const World& world, const IslandShape& island) {
  const std::vector<Replicas> groups = alike(island);
  const std::vector<bool> is_near = on_one_host(world, island);
  std::vector<size_t> at(groups.size(), 0);                  // current stage of each group
  std::vector<std::vector<int64_t>> reduce, gather, update;  // by group and stage
  for (const auto& [group, count] : groups) {
    for (auto* sums : {&reduce, &gather, &update}) {
      sums->emplace_back(group->pipeline.stages.size(), 0);
    }
  }
  std::vector<Member> members;
  int64_t latency = 0;
  for (int first = 0; first < world.num_layers();) {
    int last = world.num_layers(), degree = 1 << 20;
    members.clear();
    for (size_t g = 0; g < groups.size(); ++g) {
      const std::vector<StageShape>& stages = groups[g].group->pipeline.stages;
      if (stages[at[g]].last == first) ++at[g];
      const StageShape& stage = stages[at[g]];
      last = std::min(last, stage.last);
      degree = std::min(degree, stage.tensor_parallel);
      members.push_back({&groups[g], &stage});
    }
    GroupShape shape;
    if (!shape_of(world, members, is_near, shape)) return -1;
    const int64_t parameters =
        (world.parameters()[last] - world.parameters()[first] + degree - 1) / degree;
    int64_t reduce_ns = 0, gather_ns = 0;
    if (is_together(world, members)) {
      reduce_ns = collective_ns(Collective::kReduceScatter, parameters * 4, shape);
      gather_ns = collective_ns(Collective::kAllGather, parameters * world.weight_bytes(), shape);
    } else {
      // Makers or sites are mixed: every member sends whole layers to their owners directly.
      const int64_t sent = world.parameters()[last] - world.parameters()[first];
      const int64_t moved = sent - sent / shape.num_devices;
      reduce_ns = shape.between.latency_ns + shape.between.transfer_ns(moved * 4);
      gather_ns =
          shape.between.latency_ns + shape.between.transfer_ns(moved * world.weight_bytes());
    }
    if (shape.num_devices > 1) latency = std::max(latency, 2 * shape.between.latency_ns);
    int64_t slowest_update = 0;
    int num_owners = 0;
    for (const Member& member : members) {
      const StageShape& stage = *member.stage;
      const CostTable& table = world.table(stage.pool, member.replicas->group->pipeline.microbatch,
                                           stage.tensor_parallel);
      slowest_update = std::max(slowest_update,
                                (table.update[last] - table.update[first]) * stage.tensor_parallel);
      num_owners += member.replicas->count * stage.tensor_parallel;
    }
    for (size_t g = 0; g < groups.size(); ++g) {
      reduce[g][at[g]] += reduce_ns;
      gather[g][at[g]] += gather_ns;
      update[g][at[g]] += slowest_update / num_owners;
    }
    first = last;
  }
  int64_t slowest_reduce = 0, slowest_rest = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t s = 0; s < reduce[g].size(); ++s) {
      slowest_reduce = std::max(slowest_reduce, reduce[g][s]);
      slowest_rest = std::max(slowest_rest, update[g][s] + gather[g][s]);
    }
  }
  return slowest_reduce + latency + slowest_rest;
}

int64_t samples_within(const World& world, const IslandShape& island, int64_t ns, int64_t most) {
  const int64_t left = ns - end_of_step_ns(world, island);
  int64_t total = 0;
  for (const PipelineGroup& group : island.groups) {
    total += group.replicas * PipelineClock(world, group).samples_within(left, most);
  }
  return std::min(total, most);
}

bool set_samples(const World& world, IslandShape& island, int64_t samples) {
  merge_equal(island);
  std::vector<PipelineClock> clocks;
  int num_pipelines = 0;
  for (const PipelineGroup& group : island.groups) {
    clocks.emplace_back(world, group);
    num_pipelines += group.replicas;
    if (!clocks.back().is_possible()) return false;
  }
  if (num_pipelines == 0) return false;
  const auto fit = [&](int64_t ns) {
    int64_t total = 0;
    for (size_t g = 0; g < clocks.size() && total < samples; ++g) {
      total += island.groups[g].replicas * clocks[g].samples_within(ns, samples);
    }
    return total;
  };
  // The time of the pipelines: doubled until enough fits, then halved to the nanosecond.
  int64_t low = 0, high = 1;
  double rate = 0;
  for (size_t g = 0; g < clocks.size(); ++g) {
    rate += static_cast<double>(island.groups[g].pipeline.microbatch) * island.groups[g].replicas /
            static_cast<double>(std::max<int64_t>(1, clocks[g].period_ns()));
  }
  high = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(samples) / rate));
  while (fit(high) < samples) {
    low = high + 1;
    high *= 2;
  }
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (fit(middle) >= samples) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  // What fits beyond the samples is taken back from the last groups.
  std::vector<PipelineGroup> groups;
  int64_t left = samples;
  for (size_t g = 0; g < clocks.size() && left > 0; ++g) {
    const PipelineGroup& group = island.groups[g];
    const int64_t each = clocks[g].samples_within(high, samples);
    if (each == 0) continue;
    const int64_t mine = std::min(left, each * group.replicas);
    left -= mine;
    const auto share = [&](int replicas, int64_t of_each) {
      if (replicas == 0 || of_each == 0) return;
      groups.push_back(group);
      groups.back().replicas = replicas;
      groups.back().samples = of_each;
      groups.back().pipeline.microbatch =
          static_cast<int>(std::min<int64_t>(of_each, group.pipeline.microbatch));
    };
    // As even as it goes, in whole microbatches where the rest allows.
    const int64_t fair = mine / group.replicas;
    const auto num_larger = static_cast<int>(mine % group.replicas);
    share(num_larger, fair + 1);
    share(group.replicas - num_larger, fair);
  }
  island.groups = std::move(groups);
  const int64_t end = end_of_step_ns(world, island);
  if (end < 0) return false;
  int64_t slowest = 0;
  for (const PipelineGroup& group : island.groups) {
    slowest = std::max(slowest, PipelineClock(world, group).time_ns(group.samples));
  }
  island.step_ns = slowest + end;
  return true;
}

bool price_shape(const World& world, IslandShape& island, int64_t samples) {
  // Depths follow the samples and times follow recomputation: twice is enough, more of it only
  // takes memory down.
  for (int round = 0; round < 2; ++round) {
    if (!set_samples(world, island, samples)) return false;
    bool is_changed = false;
    const int num_pipelines = island.num_pipelines();
    for (PipelineGroup& group : island.groups) {
      const PipelineShape before = group.pipeline;
      if (!settle_memory(world, num_pipelines, group)) return false;
      is_changed |= !(before == group.pipeline);
    }
    if (!is_changed) return true;
  }
  if (!set_samples(world, island, samples)) return false;
  const int num_pipelines = island.num_pipelines();
  for (const PipelineGroup& group : island.groups) {
    PipelineGroup trial = group;
    if (!settle_memory(world, num_pipelines, trial)) return false;
  }
  return true;
}

}  // namespace skarv
