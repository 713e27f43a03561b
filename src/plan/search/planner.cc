#include "plan/search/planner.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/outer/worth.h"
#include "plan/search/chooser.h"
#include "plan/search/figures.h"

namespace skarv {
namespace {

constexpr size_t kMostPartsPlanned = 2;  // of the cluster, where rounds are slow

// All that plan and price need, and what it refers to.
struct Desk {
  Workload workload;
  DeviceIndex devices;
  HostIndex hosts;
  SlabTable table;
};

Result<Desk> desk_of(const Run& run, const Cluster& cluster, const Profile& profile) {
  SKARV_TRY(check_model(run.model, "model"));
  SKARV_ASSIGN(Workload workload, Workload::from_run(run, profile));
  SKARV_ASSIGN(DeviceIndex devices, index_devices(cluster));
  return Desk{std::move(workload), std::move(devices), index_hosts(cluster),
              SlabTable(run.model, run.exchange.num_fragments)};
}

// "north", "north and east", "north, east and west".
std::string listed(const std::set<std::string>& names) {
  std::string text;
  size_t num_left = names.size();
  for (const std::string& name : names) {
    text += name;
    if (--num_left > 0) text += num_left == 1 ? " and " : ", ";
  }
  return text;
}

std::vector<OuterIsland> outer_islands(const PlanReport& report) {
  std::vector<OuterIsland> islands;
  for (const IslandReport& island : report.islands) {
    const std::vector<std::string> devices = report.plan.find_island(island.name)->devices();
    std::set<std::string> hosts;
    for (const std::string& name : devices) hosts.insert(host_of(name));
    islands.push_back({island.name, site_of(devices.front()),
                       std::llround(island.step_seconds * 1e9), island.samples,
                       static_cast<int>(hosts.size())});
  }
  return islands;
}

// What the rounds between the islands leave of the step's speed, and what would suit the links.
void add_rounds(const Run& run, const Cluster& cluster, PlanReport& report) {
  const std::vector<OuterIsland> islands = outer_islands(report);
  if (islands.size() < 2) return;
  const OuterSetting setting{run.exchange, cluster, num_parameters(run.model)};
  const Result<OuterRound> round = price_round(islands, setting);
  if (!round.ok()) {  // of steps it is the plan all the same
    report.advice = {
        cat("rounds between the islands cannot be priced: ", round.status().message())};
    return;
  }
  report.kept_by_rounds = round->utilisation;
  Result<std::vector<std::string>> advice = advise(islands, setting);
  if (advice.ok()) report.advice = std::move(advice).value();
}

// The fastest plan by its steps; rounds between islands are not in it.
Result<PlanReport> plan_steps(const Run& run, const Cluster& cluster, const Profile& profile,
                              const PlannerLimits& limits) {
  SKARV_ASSIGN(const Desk desk, desk_of(run, cluster, profile));
  const StepWorld step{desk.workload, cluster, desk.devices, desk.hosts, profile, run.precision};
  PriceBook book;
  const Pricer pricer(step, &desk.table, book);
  const Question question{pricer, run.global_batch, run.exchange.min_contributors,
                          run.model.tied_head ? run.model.vocabulary * run.model.hidden : 0,
                          limits};
  SKARV_ASSIGN(Chosen chosen, choose(question));
  chosen.plan.model = digest_of(run.model);
  SKARV_TRY(check_plan(chosen.plan, run.model, run, cluster).wrap("the planner's own plan"));
  SKARV_ASSIGN(PlanReport report, figures_of(chosen.plan, pricer, run.global_batch));
  SKARV_TRY(check_keepers(report.keeper_bytes, desk.hosts));
  report.alternatives = std::move(chosen.alternatives);
  if (chosen.best_single_ns > 0) {
    report.best_single_chip = chosen.best_single_chip;
    report.best_single_tokens_per_second = static_cast<double>(run.tokens_per_step()) * 1e9 /
                                           static_cast<double>(chosen.best_single_ns);
  }
  return report;
}

Cluster without_sites(const Cluster& cluster, const std::set<std::string>& names) {
  Cluster fewer = cluster;
  std::erase_if(fewer.sites, [&](const Site& site) { return names.contains(site.name); });
  std::erase_if(fewer.links, [&](const Link& link) {
    return names.contains(link.from) || names.contains(link.to);
  });
  return fewer;
}

// The plan of the other sites as one of the whole cluster: devices of `sites` are idle.
Result<PlanReport> plan_without(const std::set<std::string>& sites, const Run& run,
                                const Cluster& cluster, const Profile& profile,
                                const PlannerLimits& limits, const PlanReport& all) {
  SKARV_ASSIGN(PlanReport fewer, plan_steps(run, without_sites(cluster, sites), profile, limits));
  SKARV_ASSIGN(const std::vector<DeviceInfo> devices, expand_devices(cluster));
  for (const DeviceInfo& device : devices) {
    if (sites.contains(device.site)) fewer.plan.idle.push_back({device.name, ""});
  }
  SKARV_ASSIGN(PlanReport report, price_plan(fewer.plan, run, cluster, profile));
  const std::string reason =
      cat("rounds over the links of ", listed(sites), " would leave ",
          fixed(all.tokens_per_second * all.kept_by_rounds, 1), " tokens/s of ",
          fixed(all.tokens_per_second, 1), "; the others alone train ",
          fixed(report.tokens_per_second * report.kept_by_rounds, 1), ": left out");
  for (IdleDevice& idle : report.plan.idle) {
    if (idle.reason.empty()) idle.reason = reason;
  }
  for (const std::string& advice : all.advice) {
    report.advice.push_back(cat("with ", listed(sites), ": ", advice));
  }
  report.alternatives = std::move(fewer.alternatives);
  report.best_single_chip = all.best_single_chip;
  report.best_single_tokens_per_second = all.best_single_tokens_per_second;
  return report;
}

// The answer without the sites whose rounds cost the others more than they train, if that is
// faster.
Status leave_out_slow_links(const Run& run, const Cluster& cluster, const Profile& profile,
                            PlannerLimits limits, PlanReport& report) {
  const std::vector<OuterIsland> islands = outer_islands(report);
  const Result<std::vector<FewerIslands>> faster =
      faster_without(islands, {run.exchange, cluster, num_parameters(run.model)},
                     std::max(1, run.exchange.min_contributors));
  if (!faster.ok()) return {};  // add_rounds has said why
  limits.progress = nullptr;
  const PlanReport all = report;
  for (size_t i = 0; i < std::min(kMostPartsPlanned, faster->size()); ++i) {
    if (limits.is_over_budget()) break;
    std::set<std::string> sites;
    for (const size_t island : (*faster)[i].left_out) {
      for (const std::string& device : all.plan.find_island(islands[island].name)->devices()) {
        sites.insert(site_of(device));
      }
    }
    Result<PlanReport> fewer = plan_without(sites, run, cluster, profile, limits, all);
    if (!fewer.ok()) {
      if (!is_unfit(fewer.status())) return fewer.status();
      continue;
    }
    if (fewer->whole_step_seconds() < report.whole_step_seconds()) report = std::move(*fewer);
  }
  return {};
}

}  // namespace

Result<PlanReport> make_plan(const Run& run, const Cluster& cluster, const Profile& profile,
                             const PlannerLimits& limits) {
  PlannerLimits started = limits;
  started.start_budget();
  SKARV_ASSIGN(PlanReport report, plan_steps(run, cluster, profile, started));
  add_rounds(run, cluster, report);
  SKARV_TRY(leave_out_slow_links(run, cluster, profile, started, report));
  return report;
}

Result<PlanReport> price_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                              const Profile& profile) {
  SKARV_TRY(check_plan(plan, run.model, run, cluster));
  SKARV_ASSIGN(const Desk desk, desk_of(run, cluster, profile));
  const StepWorld step{desk.workload, cluster, desk.devices, desk.hosts, profile, run.precision};
  PriceBook book;
  SKARV_ASSIGN(PlanReport report,
               figures_of(plan, Pricer(step, &desk.table, book), run.global_batch));
  add_rounds(run, cluster, report);
  return report;
}

Status check_keeper_memory(const PlanReport& report, const Cluster& cluster) {
  return check_keepers(report.keeper_bytes, index_hosts(cluster));
}

}  // namespace skarv
