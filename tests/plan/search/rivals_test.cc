#include "rivals/rivals.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "plan/examples.h"
#include "rivals/arena.h"
#include "rivals/likeness.h"

namespace skarv {
namespace {

void defend(const std::string& cluster, const std::string& model, int num_changes, double seconds) {
  for (const Contest& contest : contests()) {
    if (contest.cluster != cluster || contest.model != model) continue;
    ContestLimits limits;
    limits.num_changes = num_changes;
    limits.seconds = seconds;
    const Result<Held> held = hold(contest, std::string(SKARV_SOURCE_DIR) + "/bench", limits);
    ASSERT_TRUE(held.ok()) << held.status();
    const Outcome* const outcome = &held->outcome;
    EXPECT_TRUE(outcome->is_won())
        << cluster << ", " << model << ": ours " << outcome->ours_ns << ", " << outcome->rival
        << " " << outcome->rival_ns << ", " << outcome->change_seed << " " << outcome->change_ns
        << ", broken " << outcome->broken;
    EXPECT_GT(outcome->num_rivals, 0);
    EXPECT_EQ(outcome->num_changes, outcome->num_dismissed + outcome->num_alike +
                                        outcome->num_unfit + outcome->num_simulated);
    return;
  }
  FAIL() << "no contest on " << cluster;
}

TEST(SlowPlannerRivals, NoneIsFasterOnAFewHosts) {
  defend("one_type_8", "8B", 100, 0);
  defend("two_types_16", "8B", 100, 0);
  defend("two_sites_32", "8B", 100, 0);
}
TEST(EndurancePlannerRivals, NoneIsFaster) {
  defend("one_type_8", "8B", 10000, 0);
  defend("two_types_16", "8B", 10000, 0);
  defend("four_types_256", "70B", 1000, 0);
}

// Two sites of hosts with slow NICs.
Cluster slow_hosts() {
  Cluster cluster;
  for (const char* name : {"north", "south"}) {
    Site site{name, 0, {}};
    HostGroup host{"h", 3, 0, 2e5, 1e-4, {}};
    host.devices.push_back({"cpu", 4, 1'000'000'000, name[0] == 'n' ? 0.0 : 0.5, ""});
    site.hosts.push_back(host);
    cluster.sites.push_back(site);
  }
  cluster.links.push_back({"north", "south", 1e6, 0.01, 0, 0});
  return cluster;
}

// Four pipelines of three stages in north, two of two in south.
Plan small_plan(const skarv::Run& run) {
  Plan plan{digest_of(run.model), {{"north", {}}, {"south", {}}}, {}, {}};
  const int layers = run.model.num_layers();
  for (int p = 0; p < 4; ++p) {
    Pipeline pipeline{1, 6, "1f1b", {}};
    for (int s = 0; s < 3; ++s) {
      pipeline.stages.push_back(
          {s * layers / 3, (s + 1) * layers / 3, {cat("north/h", s, "/", p)}, 1});
    }
    plan.islands[0].pipelines.push_back(pipeline);
  }
  for (int p = 0; p < 2; ++p) {
    Pipeline pipeline{1, 4, "zero-bubble", {}};
    for (int s = 0; s < 2; ++s) {
      pipeline.stages.push_back(
          {s * layers / 2, (s + 1) * layers / 2, {cat("south/h", s, "/", p)}, 1});
    }
    plan.islands[1].pipelines.push_back(pipeline);
  }
  return plan;
}

TEST(Rivals, AllOfThemAndAllChangesAreValidPlans) {
  const skarv::Run run = small_run(32, 10);
  const Cluster cluster = slow_hosts();
  const Rivals rivals(run, cluster);
  int num_rivals = 0, num_changes = 0;
  for (int i = 0; i < Rivals::size(); ++i) {
    const auto rival = rivals.make(i);
    if (!rival) continue;
    ++num_rivals;
    const Status checked = check_plan(rival->plan, run.model, run, cluster);
    ASSERT_TRUE(checked.ok()) << rival->what << ": " << checked;
  }
  const Plan plan = small_plan(run);
  ASSERT_TRUE(check_plan(plan, run.model, run, cluster).ok());
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const auto change = mutate(plan, seed);
    if (!change) continue;
    ++num_changes;
    const Status checked = check_plan(with_change(plan, *change), run.model, run, cluster);
    ASSERT_TRUE(checked.ok()) << "change " << seed << ": " << checked;
  }
  EXPECT_GT(num_rivals, 20);
  EXPECT_GT(num_changes, 400);
}

// What is told alike is not played: it has to take the same time, to the nanosecond with slabs.
TEST(Rivals, IslandsThatAreAlikeTakeEqualTime) {
  const skarv::Run run = small_run(32, 10);
  const Cluster cluster = slow_hosts();
  const Profile profile = small_profile({1, 2, 4, 8});
  const Workload workload = Workload::from_run(run, profile).value();
  const DeviceIndex devices = index_devices(cluster).value();
  const HostIndex hosts = index_hosts(cluster);
  const SlabTable table(run.model, 1);
  const StepWorld world{workload, cluster, devices, hosts, profile, Precision::kFp32};
  const Plan plan = small_plan(run);
  struct Seen {
    int64_t ns;
    std::vector<std::string> devices;
  };
  std::map<std::pair<bool, uint64_t>, Seen> known;
  int num_renamed[2] = {0, 0};
  for (uint64_t seed = 0; seed < 1500; ++seed) {
    const auto change = mutate(plan, seed);
    if (!change) continue;
    for (const auto& [index, island] : change->islands) {
      for (bool is_by_slabs : {false, true}) {
        const std::vector<GroupLoad> loads =
            is_by_slabs ? loads_of(ownership_of(island, plan, table), table)
                        : loads_of(island, workload, {});
        StepSettings settings;
        settings.keep_spans = false;
        const int64_t ns =
            simulate_island(island, {}, loads, world, settings).value().trace.step_ns;
        const uint64_t key = likeness_of(island, {}, is_by_slabs ? &loads : nullptr, world);
        const auto [seen, is_new] =
            known.emplace(std::pair(is_by_slabs, key), Seen{ns, island.devices()});
        if (is_new) continue;
        num_renamed[is_by_slabs] += seen->second.devices != island.devices();
        // An element of the optimizer more or less takes microseconds with these toy times.
        ASSERT_NEAR(ns, seen->second.ns, is_by_slabs ? 0 : 10'000) << "change " << seed;
      }
    }
  }
  EXPECT_GT(num_renamed[0], 50);
  EXPECT_GT(num_renamed[1], 5);
  EXPECT_GT(known.size(), 200u);
}

}  // namespace
}  // namespace skarv
