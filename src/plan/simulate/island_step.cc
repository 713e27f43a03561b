#include "plan/simulate/island_step.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"
#include "plan/schedule/builder.h"
#include "plan/schedule/island_times.h"
#include "plan/simulate/step_floor.h"

namespace skarv {
namespace {

Payloads payloads_of(const Workload& workload, Precision precision) {
  Payloads payloads{precision, {}};
  for (int layer = 0; layer < workload.num_layers(); ++layer) {
    payloads.output_bytes.push_back(workload.size(layer).output_bytes);
  }
  return payloads;
}

// Groups of the folded island, without slabs: bytes of reduce and gather come from GroupTimes.
Ownership folded_ownership(const Fold& fold, const std::vector<GroupLoad>& loads) {
  Ownership ownership;
  ownership.devices = fold.island.devices();
  for (const GroupLoad& load : loads) {
    std::set<int> members;
    for (int rank : load.members) members.insert(fold.folded_rank[rank]);
    ownership.groups.push_back({{members.begin(), members.end()}, {}});
  }
  return ownership;
}

const SlabTable& no_slabs() {
  static const SlabTable table(Model{2, 2, 0, 1, 1, 2, 2, 1}, 1);
  return table;
}

// About 70 bytes an action: a step may take some gigabytes, not the machine.
constexpr double kMostActions = 4e7;

Status check_size(const Fold& fold) {
  double num_actions = 0;
  for (size_t i = 0; i < fold.island.pipelines.size(); ++i) {
    const Pipeline& pipeline = fold.island.pipelines[i];
    for (const Stage& stage : pipeline.stages) {
      num_actions += 7.0 * static_cast<double>(stage.devices.size()) * pipeline.num_microbatches();
    }
    if (num_actions <= kMostActions) continue;
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("a step of ", pipeline.num_microbatches(), " microbatches has more than ",
                      human_count(kMostActions), " actions"))
        .at(cat("island ", fold.island.name))
        .with_hint("use larger microbatches or fewer samples");
  }
  return {};
}

// One island from its fold to its price.
struct Scene {
  IslandStep step;
  std::optional<IslandCost> cost;
  Ownership ownership;
};

Result<Scene> scene_of(const Island& island, const std::map<std::string, double>& owner_share,
                       std::vector<GroupLoad> loads, const StepWorld& world,
                       const StepSettings& settings) {
  SKARV_TRY(check_devices(island, world.devices));
  const bool is_given = settings.schedules.contains(island.name);
  FoldRules rules{owner_share, {}, settings.whole || is_given || settings.jitter > 0};
  for (const auto& [device, factor] : settings.slowdown) rules.apart.insert(device);
  for (const LinkMeasure& link : world.links.links) rules.apart.insert({link.from, link.to});
  Scene scene;
  IslandStep& step = scene.step;
  step.fold = fold_island(island, world.devices, world.hosts, rules);
  SKARV_TRY(check_size(step.fold));
  step.loads = std::move(loads);
  const GroupQuery query{island,        step.loads,  world.precision, world.cluster,
                         world.devices, world.hosts, world.links};
  SKARV_ASSIGN(scene.cost, IslandCost::create(query, world.workload, step.fold));
  for (int group = 0; group < scene.cost->num_groups(); ++group) {
    step.groups.push_back(scene.cost->group(group));
  }
  scene.ownership = folded_ownership(step.fold, step.loads);
  return scene;
}

MemoryQuery query_of(const Schedule& schedule, const IslandStep& step, const Island& island,
                     const StepWorld& world) {
  return {schedule,       island,          step.fold,     step.loads,
          world.workload, world.precision, world.devices, world.links};
}

Result<std::vector<DeviceMemory>> memory_with(const Schedule& schedule, const IslandStep& step,
                                              const Island& island, const StepWorld& world) {
  return memory_of(query_of(schedule, step, island, world));
}

// As plan/schedule/timed_schedule.h does for a whole island: what the orders are made for.
Result<std::vector<PipelineTimes>> times_of(const IslandStep& step, const Island& island,
                                            const StepWorld& world) {
  Schedule idle{step.fold.island.devices(), {}};
  idle.actions.resize(idle.devices.size());
  SKARV_ASSIGN(const std::vector<DeviceMemory> memory, memory_with(idle, step, island, world));
  std::map<std::string, int64_t> activation_bytes;
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    activation_bytes[idle.devices[rank]] = activation_room(memory[rank]);
  }
  return island_times({step.fold.island, world.workload, world.cluster, world.devices, world.links},
                      activation_bytes);
}

// Orders are made for whole microbatches: of a smaller last one they say nothing.
bool has_whole_microbatches(const Island& island) {
  return std::ranges::all_of(island.pipelines, [](const Pipeline& pipeline) {
    return pipeline.samples % pipeline.microbatch == 0;
  });
}

Result<Schedule> schedule_for(const Scene& scene, const std::vector<PipelineTimes>& times,
                              const StepWorld& world, const OrderOptions& options) {
  return build_schedule(scene.step.fold.island, scene.ownership, no_slabs(),
                        payloads_of(world.workload, world.precision), times, options);
}

}  // namespace

int IslandStep::fullest_overflow() const {
  int worst = -1;
  int64_t most = 0;
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    const int64_t over = memory[rank].total() - memory[rank].limit;
    if (over > most) {
      most = over;
      worst = static_cast<int>(rank);
    }
  }
  return worst;
}

Result<IslandStep> simulate_island(const Island& island,
                                   const std::map<std::string, double>& owner_share,
                                   const StepWorld& world, const StepSettings& settings) {
  return simulate_island(island, owner_share, loads_of(island, world.workload, owner_share), world,
                         settings);
}

Result<IslandStep> simulate_island(const Island& island,
                                   const std::map<std::string, double>& owner_share,
                                   std::vector<GroupLoad> loads, const StepWorld& world,
                                   const StepSettings& settings) {
  SKARV_TRY(check_settings(settings));
  SKARV_ASSIGN(Scene scene, scene_of(island, owner_share, std::move(loads), world, settings));
  IslandStep& step = scene.step;
  const auto given = settings.schedules.find(island.name);
  if (given != settings.schedules.end()) {
    SKARV_TRY(check_schedule(given->second, island, scene.ownership));
    step.schedule = given->second;
  } else {
    SKARV_ASSIGN(const std::vector<PipelineTimes> times, times_of(step, island, world));
    SKARV_ASSIGN(step.schedule, schedule_for(scene, times, world, settings.order));
  }
  Routes routes(step.fold, step.schedule.devices, world.cluster, world.devices, world.hosts,
                world.links);
  SKARV_ASSIGN(const Program program, compile(step.schedule, *scene.cost, routes, settings));
  SKARV_ASSIGN(step.trace, play(program, routes.wires(), settings));
  SKARV_ASSIGN(step.memory, memory_with(step.schedule, step, island, world));
  if (settings.keep_spans) {
    SKARV_ASSIGN(step.activations, activation_bytes(query_of(step.schedule, step, island, world)));
  }
  return std::move(scene.step);
}

Result<IslandTrial> try_island(const Island& island,
                               const std::map<std::string, double>& owner_share,
                               std::vector<GroupLoad> loads, const StepWorld& world,
                               int64_t give_up_ns, const OrderOptions& order,
                               const WorkEnds& ends) {
  using enum IslandTrial::End;
  StepSettings settings;
  settings.keep_spans = false;
  settings.give_up_ns = std::max<int64_t>(1, give_up_ns);
  settings.order = order;
  SKARV_ASSIGN(Scene scene, scene_of(island, owner_share, std::move(loads), world, settings));
  IslandStep& step = scene.step;
  Routes routes(step.fold, step.fold.island.devices(), world.cluster, world.devices, world.hosts,
                world.links);
  const FloorQuery query{*scene.cost, scene.ownership, world.workload, settings.start_up, &ends};
  SKARV_ASSIGN(const int64_t quick, step_floor(query, routes));
  if (quick >= give_up_ns) return IslandTrial{kDismissed};
  SKARV_ASSIGN(const std::vector<PipelineTimes> times, times_of(step, island, world));
  SKARV_ASSIGN(const int64_t floor, step_floor(query, routes, times));
  if (floor >= give_up_ns) return IslandTrial{kDismissed};
  const bool may_give_up =
      order.max_pieces == kProbeEffort || tries_first_orders_alone(island, order.max_pieces);
  if (may_give_up && has_whole_microbatches(island)) {
    const int64_t before_end = give_up_ns - settings.start_up.step_ns - end_floor(query, routes);
    settings.order.give_up_ns = std::max<int64_t>(1, before_end);
  }
  Result<Schedule> schedule = schedule_for(scene, times, world, settings.order);
  if (schedule.status().code() == Code::kDeadlineExceeded) return IslandTrial{kGivenUp};
  SKARV_ASSIGN(step.schedule, std::move(schedule));
  int64_t num_actions = 0;
  for (const std::vector<Action>& list : step.schedule.actions) num_actions += std::ssize(list);
  SKARV_ASSIGN(step.memory, memory_with(step.schedule, step, island, world));
  if (step.fullest_overflow() >= 0) return IslandTrial{kDoesNotFit, 0, num_actions};
  SKARV_ASSIGN(const Program program, compile(step.schedule, *scene.cost, routes, settings));
  const Result<StepTrace> trace = play(program, routes.wires(), settings);
  if (trace.ok()) return IslandTrial{kPlayed, trace->step_ns, num_actions};
  if (trace.status().code() == Code::kDeadlineExceeded)
    return IslandTrial{kGivenUp, 0, num_actions};
  return trace.status();
}

Result<int64_t> least_step(const Island& island, const std::map<std::string, double>& owner_share,
                           std::vector<GroupLoad> loads, const StepWorld& world) {
  const StepSettings settings;
  SKARV_ASSIGN(const Scene scene, scene_of(island, owner_share, std::move(loads), world, settings));
  Routes routes(scene.step.fold, scene.step.fold.island.devices(), world.cluster, world.devices,
                world.hosts, world.links);
  return step_floor({*scene.cost, scene.ownership, world.workload, settings.start_up}, routes);
}

Result<int64_t> least_work(const Island& some_pipelines, const StepWorld& world) {
  const StepSettings settings;
  SKARV_ASSIGN(const Scene scene, scene_of(some_pipelines, {}, {}, world, settings));
  Routes routes(scene.step.fold, scene.step.fold.island.devices(), world.cluster, world.devices,
                world.hosts, world.links);
  return work_floor({*scene.cost, scene.ownership, world.workload, settings.start_up}, routes);
}

}  // namespace skarv
