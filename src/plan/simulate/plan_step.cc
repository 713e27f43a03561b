#include "plan/simulate/plan_step.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

constexpr int kDays = 20;

int num_hosts(const std::vector<std::string>& devices) {
  std::set<std::string> hosts;
  for (const std::string& device : devices) hosts.insert(host_of(device));
  return static_cast<int>(hosts.size());
}

Status check_slow_devices(const Plan& plan, const StepSettings& settings) {
  for (const auto& [device, factor] : settings.slowdown) {
    if (plan.island_of(device) != nullptr) continue;
    std::vector<std::string> known;
    for (const Island& island : plan.islands) {
      for (const std::string& name : island.devices()) known.push_back(name);
    }
    const std::string nearest = nearest_name(device, known);
    return Status(Code::kNotFound, Scope::kConfig, cat("the plan has no device ", device))
        .at("slowdown")
        .with_hint(nearest.empty() ? "name a device of the plan: site/host/index"
                                   : cat("did you mean ", nearest, "?"));
  }
  return {};
}

// A lost host's share comes from another island, over the best link that the site has.
double fetch_seconds(const Cluster& cluster, const std::string& site, int64_t bytes) {
  double best = 0;
  for (const Link& link : cluster.links) {
    if (link.from == site || link.to == site) best = std::max(best, link.bandwidth);
  }
  return best > 0 ? static_cast<double>(bytes) / best : 0;
}

}  // namespace

double PlanStep::step_seconds() const {
  double slowest = 0;
  for (const IslandStep& island : islands) slowest = std::max(slowest, island.step_seconds());
  return slowest;
}

double PlanStep::tokens_per_second() const {
  const double steps = static_cast<double>(round.steps) * 1e9 /
                       static_cast<double>(std::max<int64_t>(1, round.period_ns()));
  return static_cast<double>(tokens_per_step) * steps;
}

std::string PlanStep::overflow() const {
  const auto show = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  for (const IslandStep& island : islands) {
    const int rank = island.fullest_overflow();
    if (rank < 0) continue;
    const DeviceMemory& memory = island.memory[rank];
    return cat(island.schedule.devices[rank], " needs ", show(memory.total()), " of ",
               show(memory.limit));
  }
  for (const auto& [name, host] : hosts) {
    if (host.limit > 0 && host.keeper > host.limit) {
      return cat("the keeper on host ", name, " needs ", show(host.keeper), " of ",
                 show(host.limit));
    }
  }
  return "";
}

Result<PlanStep> simulate_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                               const Profile& profile, const PlanSettings& settings) {
  SKARV_TRY(check_plan(plan, run.model, run, cluster));
  SKARV_TRY(check_settings(settings.step));
  SKARV_TRY(check_slow_devices(plan, settings.step));
  for (const auto& [name, schedule] : settings.step.schedules) {
    if (plan.find_island(name) != nullptr) continue;
    return Status(Code::kNotFound, Scope::kConfig, cat("the plan has no island ", name))
        .at("schedule")
        .with_hint("a schedule belongs to an island of the plan");
  }
  SKARV_TRY(check_rates(settings.rates));
  if (settings.num_streams < 1 || settings.num_streams > 64) {
    return config_error(cat(settings.num_streams, " TCP streams"))
        .at("streams")
        .with_hint("give 1 to 64");
  }
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const HostIndex hosts = index_hosts(cluster);
  const SlabTable table(run.model, run.exchange.num_fragments);
  const StepWorld world{workload, cluster, devices, hosts, profile, run.precision};
  PlanStep result;
  result.tokens_per_step = run.tokens_per_step();
  std::vector<OuterIsland> outer;
  GoodputSetting goodput;
  for (const Island& island : plan.islands) {
    const Ownership ownership = ownership_of(island, plan, table);
    SKARV_ASSIGN(IslandStep step,
                 simulate_island(island, plan.owner_share, loads_of(ownership, table), world,
                                 settings.step));
    int64_t most = 0;
    for (const auto& [host, bytes] : keeper_memory(ownership.devices, step.loads)) {
      HostMemory& memory = result.hosts[host];
      memory.keeper += bytes;
      most = std::max(most, bytes);
      const auto group = hosts.find(host);
      if (group != hosts.end()) memory.limit = group->second->memory_bytes;
    }
    for (const std::string& device : step.schedule.devices) {
      result.estimated = result.estimated || workload.is_estimated(devices.at(device).chip.name);
    }
    const std::string& site = devices.at(ownership.devices[0]).site;
    const int hosts_here = num_hosts(ownership.devices);
    outer.push_back({island.name, site, step.trace.step_ns, island.samples(), hosts_here});
    goodput.islands.push_back({island.name, site, static_cast<int>(ownership.devices.size()),
                               hosts_here, 0, fetch_seconds(cluster, site, most)});
    result.names.push_back(island.name);
    result.samples.push_back(island.samples());
    result.islands.push_back(std::move(step));
  }
  const OuterSetting setting{run.exchange, cluster, table.num_elements(), settings.num_streams,
                             settings.control};
  SKARV_ASSIGN(result.round, price_round(outer, setting));
  SKARV_ASSIGN(result.advice, advise(outer, setting));
  for (size_t i = 0; i < goodput.islands.size(); ++i) {
    goodput.islands[i].tokens_per_second = result.tokens_per_second() *
                                           static_cast<double>(result.samples[i]) /
                                           static_cast<double>(run.global_batch);
  }
  goodput.rates = settings.rates;
  goodput.detection_seconds = run.exchange.detection_seconds;
  const double round_seconds = static_cast<double>(result.round.period_ns()) * 1e-9;
  goodput.period_seconds = settings.rates.snapshot_seconds > 0
                               ? settings.rates.snapshot_seconds
                               : round_seconds * std::max(1, run.exchange.num_fragments);
  goodput.num_needed = islands_to_commit(run.exchange, static_cast<int>(plan.islands.size()));
  goodput.ahead_seconds = rounds_ahead(run.exchange) * round_seconds;
  goodput.seed = settings.step.seed;
  result.goodput = goodput_of(goodput, kDays);
  return result;
}

}  // namespace skarv
