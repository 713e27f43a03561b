#include "plan/search/planner.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/outer/outer_round.h"
#include "plan/search/chooser.h"
#include "plan/search/figures.h"

namespace skarv {
namespace {

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

// What the rounds between the islands leave of the step's speed, and what would suit the links.
void add_rounds(const Run& run, const Cluster& cluster, PlanReport& report) {
  std::vector<OuterIsland> islands;
  for (const IslandReport& island : report.islands) {
    const Island* plan = report.plan.find_island(island.name);
    const std::string device = plan->pipelines[0].stages[0].devices[0];
    std::set<std::string> hosts;
    for (const std::string& name : plan->devices()) hosts.insert(name.substr(0, name.rfind('/')));
    islands.push_back({island.name, device.substr(0, device.find('/')),
                       std::llround(island.step_seconds * 1e9), island.samples,
                       static_cast<int>(hosts.size())});
  }
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

}  // namespace

Result<PlanReport> make_plan(const Run& run, const Cluster& cluster, const Profile& profile,
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
  add_rounds(run, cluster, report);
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
