#include "plan/search/planner.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "plan/schedule/timed_schedule.h"
#include "plan/search/finalists.h"
#include "plan/search/price.h"

namespace skarv {
namespace {

constexpr int kTightenings = 4;  // a pool's memory is lowered by what the simulator found too much
constexpr size_t kNumFinalists = 4;
constexpr int kShapesOfIsland = 12;

// Keepers live in host memory; a host whose memory the cluster file leaves out is not judged.
Status check_keepers(const PlanReport& report, const Cluster& cluster) {
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (int i = 0; i < host.count && host.memory_bytes > 0; ++i) {
        const std::string name =
            site.name + "/" + (host.count == 1 ? host.name : cat(host.name, i));
        const auto found = report.keeper_bytes.find(name);
        if (found == report.keeper_bytes.end() || found->second <= host.memory_bytes) continue;
        return Status(Code::kResourceExhausted, Scope::kConfig,
                      cat("the keeper on host ", name, " needs ",
                          human_bytes(static_cast<double>(found->second)), " of ",
                          human_bytes(static_cast<double>(host.memory_bytes)), " host memory"))
            .at(name)
            .with_hint("add hosts to the site: its keepers share the model's slabs");
      }
    }
  }
  return {};
}

class Planner {
 public:
  Planner(const Market& market, const Workload& workload, const PlannerLimits& limits)
      : market_(market), workload_(workload), limits_(limits) {}

  Result<Plan> run() {
    SKARV_ASSIGN(World world, make_world());
    if (market_.run.global_batch < 1) {
      return config_error(cat("global_batch = ", market_.run.global_batch, " is not positive"))
          .at("run.global_batch")
          .with_hint("give the samples of a step");
    }
    for (int round = 0; round < kTightenings; ++round) {
      const std::vector<WholeShape> found =
          search_sites(world, market_.run.global_batch, market_.run.exchange.min_contributors);
      if (found.empty()) break;
      SKARV_ASSIGN(std::optional<Finalist> best, best_of(world, found));
      if (!best) break;
      if (best->overflow_bytes == 0) return complete(world, std::move(*best));
      world.lower_memory(best->fullest, best->overflow_bytes);
    }
    return does_not_fit();
  }

 private:
  Result<World> make_world() const {
    return World::create(
        workload_, market_.cluster, market_.profile, market_.run.precision,
        market_.run.model.tied_head ? market_.run.model.vocabulary * market_.run.model.hidden : 0,
        limits_);
  }

  Result<std::optional<Finalist>> best_of(const World& world,
                                          const std::vector<WholeShape>& found) const {
    std::optional<Finalist> best;
    Status failed;
    const HostIndex hosts = index_hosts(market_.cluster);
    const StepWorld step_world{workload_, market_.cluster, market_.devices,
                               hosts,     market_.profile, market_.run.precision};
    Finals finals(world, step_world);
    for (size_t i = 0; i < found.size() && i < kNumFinalists; ++i) {
      Result<Finalist> judged = finals.judge(found[i], kShapesOfIsland);
      if (!judged.ok()) {
        failed = judged.status();
        continue;
      }
      if (best && std::pair(best->overflow_bytes, best->step_ns) <=
                      std::pair(judged->overflow_bytes, judged->step_ns)) {
        continue;
      }
      best = std::move(*judged);
    }
    if (!best && !failed.ok()) return failed;
    return best;
  }

  Result<Finalist> judge_one(const World& world, const WholeShape& whole) const {
    const HostIndex hosts = index_hosts(market_.cluster);
    const StepWorld step_world{workload_, market_.cluster, market_.devices,
                               hosts,     market_.profile, market_.run.precision};
    SKARV_ASSIGN(Finalist finalist, Finals(world, step_world).judge(whole, kShapesOfIsland));
    finalist.plan.model = digest_of(market_.run.model);
    return finalist;
  }

  // Every device that the plan does not use, with the reason.
  Plan complete(const World& world, Finalist finalist) const {
    Plan plan = std::move(finalist.plan);
    plan.model = digest_of(market_.run.model);
    std::set<std::string> used;
    for (const Island& island : plan.islands) {
      for (const std::string& device : island.devices()) used.insert(device);
    }
    for (const Pool& pool : world.pools()) {
      for (const std::vector<std::string>& host : pool.hosts) {
        for (const std::string& device : host) {
          if (used.contains(device)) continue;
          plan.idle.push_back({device, "too slow: with it the step would not be shorter"});
        }
      }
    }
    return plan;
  }

  // What the plan that needs least lacks.
  Status does_not_fit() const {
    SKARV_ASSIGN(World world, make_world());
    world.forget_memory();
    const std::vector<WholeShape> found = search_sites(world, market_.run.global_batch, 1);
    if (found.empty()) return bug("no plan even without limits of memory");
    WholeShape whole = found.front();
    for (IslandChoice& choice : whole.islands) {
      for (IslandShape& shape : choice.shapes) {
        for (PipelineGroup& group : shape.groups) {
          for (StageShape& stage : group.pipeline.stages) stage.recompute = true;
        }
      }
    }
    SKARV_ASSIGN(const Finalist nearest, judge_one(world, whole));
    const std::string site = nearest.fullest.substr(0, nearest.fullest.find('/'));
    for (const Island& island : nearest.plan.islands) {
      SKARV_ASSIGN(const IslandPrice price, price_island(island, nearest.plan, market_));
      const int rank = price.fullest_overflow();
      if (rank < 0 || price.ownership.devices[rank] != nearest.fullest) continue;
      return describe(site, price, rank);
    }
    // Devices have room, so it is the keepers that do not.
    SKARV_ASSIGN(const PlanReport report,
                 price_plan(nearest.plan, market_.run, market_.cluster, market_.profile));
    SKARV_TRY(check_keepers(report, market_.cluster));
    return Status(Code::kResourceExhausted, Scope::kConfig, "no plan fits in memory")
        .with_hint("choose a smaller model or context, or add devices");
  }

  static Status describe(const std::string& site, const IslandPrice& price, int rank) {
    const DeviceMemory& memory = price.memory[rank];
    const auto show = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("no plan fits in the memory of site ", site, "; in the nearest one ",
                      price.ownership.devices[rank], " needs ", show(memory.total()), " (weights ",
                      show(memory.weights), ", gradients ", show(memory.gradients), ", optimizer ",
                      show(memory.optimizer), ", activations ", show(memory.activations),
                      ", worker ", show(memory.base), ") of ", show(memory.limit)))
        .at(site)
        .with_hint("choose a smaller model or context, or add devices to the site");
  }

  const Market& market_;
  const Workload& workload_;
  const PlannerLimits& limits_;
};

std::string layers_of(const Pipeline& pipeline, const std::string& device) {
  std::string text;
  for (const Stage& stage : pipeline.stages) {
    if (std::ranges::find(stage.devices, device) == stage.devices.end()) continue;
    text += cat(text.empty() ? "" : " ", stage.first, "-", stage.last - 1);
  }
  return text;
}

Status add_island(const Island& island, const Plan& plan, const Market& market,
                  PlanReport& report) {
  OrderOptions order;
  order.max_pieces = kRunEffort;  // as the agent will
  SKARV_ASSIGN(const IslandPrice price, price_island(island, plan, market, order));
  const double step = price.step_seconds();
  report.islands.push_back({island.name, island.samples(), step});
  report.step_seconds = std::max(report.step_seconds, step);
  for (size_t rank = 0; rank < price.ownership.devices.size(); ++rank) {
    const DeviceInfo& info = market.devices.at(price.ownership.devices[rank]);
    DeviceReport device{info.name, island.name, info.chip.name, info.pace};
    for (const Pipeline& pipeline : island.pipelines) {
      const std::string layers = layers_of(pipeline, info.name);
      if (layers.empty()) continue;
      device.layers = layers;
      device.samples = pipeline.samples;
    }
    device.memory = price.memory[rank];
    device.busy_seconds = static_cast<double>(price.trace.busy_ns[rank]) * 1e-9;
    device.utilisation = device.busy_seconds / step;
    report.devices.push_back(std::move(device));
  }
  for (const auto& [host, bytes] : keeper_memory(price.ownership, market.table)) {
    report.keeper_bytes[host] += bytes;
  }
  return {};
}

// Microbatches at which the profile has blocks of the chip.
std::set<int> block_sizes(const std::string& chip, const Profile& profile) {
  std::set<int> sizes;
  for (const LayerTime& time : profile.layers) {
    if (time.kind == LayerKind::kBlock && time.tensor_parallel == 1 && time.chip == chip) {
      sizes.insert(time.microbatch);
    }
  }
  return sizes;
}

// Tokens a second of a device that trains the whole batch by itself, at its best measured
// microbatch.
Result<double> tokens_alone(const DeviceInfo& device, const Market& market) {
  double best = 0;
  for (int size : block_sizes(device.chip.name, market.profile)) {
    SKARV_ASSIGN(const AloneTime alone, alone_time(device, size, market));
    const double step =
        alone.per_sample * static_cast<double>(market.run.global_batch) + alone.update;
    best = std::max(best, static_cast<double>(market.run.tokens_per_step()) / step);
  }
  return best;
}

Result<PlanReport> report_on(Plan plan, const Market& market) {
  PlanReport report;
  report.estimated = market.profile.estimated;
  for (const Island& island : plan.islands) SKARV_TRY(add_island(island, plan, market, report));
  double longest_busy = 0;
  for (DeviceReport& device : report.devices) {
    SKARV_ASSIGN(device.alone_tokens_per_second,
                 tokens_alone(market.devices.at(device.device), market));
    report.sum_of_parts += device.alone_tokens_per_second;
    longest_busy = std::max(longest_busy, device.busy_seconds);
  }
  for (const IdleDevice& idle : plan.idle) {
    SKARV_ASSIGN(const double alone, tokens_alone(market.devices.at(idle.device), market));
    report.sum_of_parts += alone;
  }
  const auto tokens = static_cast<double>(market.run.tokens_per_step());
  report.tokens_per_second = tokens / report.step_seconds;
  report.efficiency = report.tokens_per_second / report.sum_of_parts;
  report.integer_bound = tokens / longest_busy / report.sum_of_parts;
  report.plan = std::move(plan);
  return report;
}

}  // namespace

Result<PlanReport> make_plan(const Run& run, const Cluster& cluster, const Profile& profile,
                             const PlannerLimits& limits) {
  SKARV_TRY(check_model(run.model, "model"));
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const SlabTable table(run.model, run.exchange.num_fragments);
  const Market market{run, cluster, profile, devices, table};
  SKARV_ASSIGN(Plan plan, Planner(market, workload, limits).run());
  SKARV_TRY(check_plan(plan, run.model, run, cluster).wrap("the planner's own plan"));
  SKARV_ASSIGN(PlanReport report, report_on(std::move(plan), market));
  SKARV_TRY(check_keepers(report, cluster));
  return report;
}

Result<PlanReport> price_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                              const Profile& profile) {
  SKARV_TRY(check_plan(plan, run.model, run, cluster));
  SKARV_TRY(Workload::from_run(run, profile).status());
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const SlabTable table(run.model, run.exchange.num_fragments);
  return report_on(plan, {run, cluster, profile, devices, table});
}

}  // namespace skarv
