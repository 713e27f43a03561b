#include "plan/search/rivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "plan/cost/roofline.h"
#include "plan/search/planner.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

struct Arena {
  Run run;
  Cluster cluster;
  Profile profile;
};

Arena arena_of(const std::string& file, const Model& model, int64_t global_batch) {
  Arena arena;
  arena.run.model = model;
  arena.run.precision = Precision::kBf16;
  arena.run.global_batch = global_batch;
  arena.run.steps = 1000;
  arena.cluster = read_cluster(std::string(SKARV_SOURCE_DIR) + "/bench/clusters/" + file).value();
  std::vector<std::string> chips;
  for (const Site& site : arena.cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) {
        if (std::ranges::find(chips, group.chip) == chips.end()) chips.push_back(group.chip);
      }
    }
  }
  arena.profile = estimate_profile(arena.run, chips).value();
  return arena;
}

const Model k8b = {128256, 4096, 32, 32, 8, 128, 14336, 8192};
const Model k70b = {128256, 8192, 80, 64, 8, 128, 28672, 8192};

// Step of a plan by the simulator; 0: refused, or it does not fit.
int64_t step_of(const Plan& plan, const Arena& arena, const StepWorld& world) {
  if (!check_plan(plan, arena.run.model, arena.run, arena.cluster).ok()) return 0;
  int64_t slowest = 0;
  for (const Island& island : plan.islands) {
    StepSettings settings;
    settings.keep_spans = false;
    const Result<IslandStep> step = simulate_island(island, plan.owner_share, world, settings);
    if (!step.ok() || step->fullest_overflow() >= 0) return 0;
    slowest = std::max(slowest, step->trace.step_ns);
  }
  return slowest;
}

void defend(const std::string& file, const Model& model, int64_t global_batch,
            uint64_t num_mutations) {
  SCOPED_TRACE(file);
  const Arena arena = arena_of(file, model, global_batch);
  const Result<PlanReport> ours = make_plan(arena.run, arena.cluster, arena.profile);
  ASSERT_TRUE(ours.ok()) << ours.status();
  const Workload workload = Workload::from_run(arena.run, arena.profile).value();
  const DeviceIndex devices = index_devices(arena.cluster).value();
  const HostIndex hosts = index_hosts(arena.cluster);
  const StepWorld world{workload, arena.cluster, devices,
                        hosts,    arena.profile, arena.run.precision};
  const int64_t mine = step_of(ours->plan, arena, world);
  ASSERT_GT(mine, 0);
  int64_t best_rival = 0, best_mutation = 0;
  std::string who;
  for (const Rival& rival : rivals_of(arena.run, arena.cluster)) {
    const int64_t ns = step_of(rival.plan, arena, world);
    if (ns == 0 || (best_rival > 0 && ns >= best_rival)) continue;
    best_rival = ns;
    who = rival.what;
  }
  for (uint64_t seed = 0; seed < num_mutations; ++seed) {
    const std::optional<Plan> changed = mutate(ours->plan, seed);
    if (!changed) continue;
    const int64_t ns = step_of(*changed, arena, world);
    if (ns > 0 && (best_mutation == 0 || ns < best_mutation)) best_mutation = ns;
  }
  std::printf("%s: ours %.4f s; best rival %.4f (%s); best mutation %.4f\n", file.c_str(),
              static_cast<double>(mine) * 1e-9, static_cast<double>(best_rival) * 1e-9, who.c_str(),
              static_cast<double>(best_mutation) * 1e-9);
  EXPECT_TRUE(best_rival == 0 || mine <= best_rival) << who;
  EXPECT_TRUE(best_mutation == 0 || mine <= best_mutation);
}

TEST(SlowPlannerRivals, NoneIsFasterOnAFewHosts) {
  defend("one_type_8.toml", k8b, 128, 100);
  defend("two_types_16.toml", k8b, 128, 100);
  defend("two_sites_32.toml", k8b, 256, 100);
}
TEST(EndurancePlannerRivals, NoneIsFaster) {
  defend("one_type_8.toml", k8b, 128, 10000);
  defend("two_types_16.toml", k8b, 128, 10000);
  defend("four_types_256.toml", k70b, 1024, 1000);
}

}  // namespace
}  // namespace skarv
