#include "plan/search/assembly.h"

#include <algorithm>
#include <cmath>

#include "plan/search/pricer.h"

namespace skarv {
namespace {

class Dealer {
 public:
  explicit Dealer(const World& world) : world_(world), taken_(world.pools().size()) {
    for (size_t pool = 0; pool < taken_.size(); ++pool) {
      taken_[pool].assign(world.pool(static_cast<int>(pool)).num_hosts(), 0);
    }
    first_open_.assign(taken_.size(), 0);
  }

  // Devices of one group, or none.
  std::vector<std::string> deal(int pool, int count) {
    const Pool& devices = world_.pool(pool);
    size_t& open = first_open_[pool];
    while (open < taken_[pool].size() && taken_[pool][open] == devices.per_host) ++open;
    for (size_t host = open; host < taken_[pool].size(); ++host) {
      int& taken = taken_[pool][host];
      if (taken + count > devices.per_host) continue;
      const auto begin = devices.hosts[host].begin() + taken;
      taken += count;
      return {begin, begin + count};
    }
    return {};
  }

 private:
  const World& world_;
  std::vector<std::vector<int>> taken_;  // by pool and host
  std::vector<size_t> first_open_;
};

int widest(const PipelineGroup& group) {
  int result = 0;
  for (const StageShape& stage : group.pipeline.stages) {
    result = std::max(result, stage.tensor_parallel);
  }
  return result;
}

// Replicas of which every stage fills whole hosts, as many as there are of `count`. The others come
// after them: else every stage would begin in the middle of a host, other neighbours would share
// each, and no two replicas of thousands would be alike (plan/cost/fold.h).
size_t whole_blocks(const World& world, const PipelineGroup& group, size_t count) {
  if (world.num_devices() <= static_cast<int64_t>(kFewDevices)) return count;
  size_t block = 1;
  for (const StageShape& stage : group.pipeline.stages) {
    const int on_host = world.pool(stage.pool).per_host / stage.tensor_parallel;
    block = std::max(block, static_cast<size_t>(std::max(1, on_host)));
  }
  return count < block ? count : count - count % block;
}

// Stages and replicas in the order in which they get devices.
std::vector<std::pair<size_t, size_t>> dealing_order(const World& world, const PipelineGroup& group,
                                                     size_t num_replicas) {
  const size_t num_stages = group.pipeline.stages.size();
  std::vector<std::pair<size_t, size_t>> order;
  if (group.is_compact) {
    for (size_t replica = 0; replica < num_replicas; ++replica) {
      for (size_t s = 0; s < num_stages; ++s) order.emplace_back(s, replica);
    }
    return order;
  }
  const size_t num_whole = whole_blocks(world, group, num_replicas);
  for (const auto& [begin, end] : {std::pair(size_t{0}, num_whole), {num_whole, num_replicas}}) {
    for (size_t s = 0; s < num_stages; ++s) {
      for (size_t replica = begin; replica < end; ++replica) order.emplace_back(s, replica);
    }
  }
  return order;
}

// How fast a device of the stage updates parameters of the whole model.
double update_speed(const World& world, const PipelineGroup& group, const StageShape& stage) {
  const CostTable& table =
      world.table(stage.pool, group.pipeline.microbatch, stage.tensor_parallel);
  const auto ns = static_cast<double>(std::max<int64_t>(1, table.update.back()));
  return 1 / (ns * stage.tensor_parallel);
}

}  // namespace

std::optional<Assembled> assemble(const World& world, const IslandShape& island,
                                  const std::string& name) {
  Assembled result;
  result.island.name = name;
  Dealer dealer(world);
  // The widest groups first: narrow ones fit into what is left of a host.
  std::vector<size_t> order;
  std::vector<std::vector<Pipeline>> pipelines;
  double fastest = 0;
  for (size_t g = 0; g < island.groups.size(); ++g) {
    const PipelineGroup& group = island.groups[g];
    order.push_back(g);
    Pipeline pipeline;
    pipeline.microbatch = group.pipeline.microbatch;
    pipeline.samples = group.samples;
    pipeline.schedule = name_of(group.pipeline.flow);
    for (const StageShape& stage : group.pipeline.stages) {
      pipeline.stages.push_back({stage.first,
                                 stage.last,
                                 {},
                                 stage.tensor_parallel,
                                 stage.recompute ? Recompute::kFull : Recompute::kNone});
      fastest = std::max(fastest, update_speed(world, group, stage));
    }
    pipelines.emplace_back(group.replicas, pipeline);
  }
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](size_t g) { return widest(island.groups[g]); });
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    const PipelineGroup& group = island.groups[order[begin]];
    std::vector<Pipeline*> alike;
    while (end < order.size() && is_alike(island.groups[order[end]], group)) {
      for (Pipeline& pipeline : pipelines[order[end]]) alike.push_back(&pipeline);
      ++end;
    }
    for (const auto& [s, replica] : dealing_order(world, group, alike.size())) {
      const StageShape& stage = group.pipeline.stages[s];
      std::vector<std::string>& devices = alike[replica]->stages[s].devices;
      devices = dealer.deal(stage.pool, stage.tensor_parallel);
      if (devices.empty()) return std::nullopt;
      result.used.insert(devices.begin(), devices.end());
      if (island.num_pipelines() == 1) continue;
      // Thousandths, so that the plan stays readable.
      const double share = std::round(1000 * update_speed(world, group, stage) / fastest) / 1000;
      if (share == 1) continue;
      for (const std::string& device : devices) result.owner_share[device] = share;
    }
  }
  for (std::vector<Pipeline>& group : pipelines) {
    std::ranges::move(group, std::back_inserter(result.island.pipelines));
  }
  return result;
}

}  // namespace skarv
