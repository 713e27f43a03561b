#include "rivals/arena.h"

#include <ctime>
#include <map>
#include <set>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/simulate/island_step.h"
#include "plan/tables/profile_tables.h"
#include "rivals/rivals.h"

namespace skarv {
namespace {

struct KnownModel {
  Model model;
  std::string tables;  // its name in bench/validation; empty: estimated from the catalog
};

const std::map<std::string, KnownModel>& models() {
  static const std::map<std::string, KnownModel> known = {
      {"8B", {{128256, 4096, 32, 32, 8, 128, 14336, 8192}, ""}},
      {"70B", {{128256, 8192, 80, 64, 8, 128, 28672, 8192}, ""}},
      {"405B", {{128256, 16384, 126, 128, 8, 128, 53248, 8192}, ""}},
      {"OPT-350M", {{50272, 1024, 24, 16, 16, 64, 4096, 2048}, "OPT-350"}},
      {"GPT-Neo-2.7B", {{50257, 2560, 32, 20, 20, 128, 10240, 2048}, "GPT-Neo-2.7"}},
  };
  return known;
}

double cpu_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

class Arena {
 public:
  Arena(const Run& run, const Cluster& cluster, const StepWorld& world, const ContestLimits& limits)
      : run_(run), cluster_(cluster), world_(world), limits_(limits) {}

  Result<Outcome> play(const Plan& ours, const std::string& who) {
    SKARV_TRY(check_plan(ours, run_.model, run_, cluster_).wrap("our own plan"));
    outcome_.ours_ns = step_of(ours, "our plan");
    if (outcome_.ours_ns == 0) {
      return Status(Code::kInternal, Scope::kBug, cat("our own plan cannot run: ", outcome_.broken))
          .at(who);
    }
    const std::vector<Rival> rivals = rivals_of(run_, cluster_);
    began_ = cpu_seconds();
    for (const Rival& rival : rivals) {
      if (is_late()) break;
      meet(rival.plan, rival.what, outcome_.num_rivals, outcome_.rival_ns, outcome_.rival);
      report(cat(who, ": ", outcome_.num_rivals, " of at most ", rivals.size(), " rivals"));
    }
    began_ = cpu_seconds();
    for (int seed = 0; seed < limits_.num_mutations && !is_late(); ++seed) {
      const std::optional<Plan> changed = mutate(ours, static_cast<uint64_t>(seed));
      if (!changed) continue;
      meet(*changed, cat("change ", seed), outcome_.num_mutations, outcome_.mutation_ns,
           outcome_.mutation);
      report(cat(who, ": change ", seed, " of ", limits_.num_mutations));
    }
    return outcome_;
  }

 private:
  bool is_late() const { return limits_.seconds > 0 && cpu_seconds() - began_ > limits_.seconds; }

  void report(const std::string& text) const {
    if (limits_.progress) limits_.progress(text);
  }

  void meet(const Plan& plan, const std::string& who, int& count, int64_t& best_ns,
            std::string& best) {
    if (!check_plan(plan, run_.model, run_, cluster_).ok()) return;
    const int64_t ns = step_of(plan, who);
    if (ns == 0) return;
    ++count;
    if (best_ns > 0 && ns >= best_ns) return;
    best_ns = ns;
    best = who;
  }

  // 0: it does not fit, or cannot be played, which counts as broken unless a link or time is
  // missing or the step is too large.
  int64_t step_of(const Plan& plan, const std::string& who) {
    int64_t slowest = 0;
    for (const Island& island : plan.islands) {
      StepSettings settings;
      settings.keep_spans = false;
      const Result<IslandStep> step = simulate_island(island, plan.owner_share, world_, settings);
      if (!step.ok()) {
        const Code code = step.status().code();
        if (code == Code::kNotFound || code == Code::kResourceExhausted) return 0;
        if (outcome_.num_broken++ == 0) outcome_.broken = cat(who, ": ", step.status().message());
        return 0;
      }
      if (step->fullest_overflow() >= 0) return 0;
      slowest = std::max(slowest, step->trace.step_ns);
    }
    return slowest;
  }

  const Run& run_;
  const Cluster& cluster_;
  const StepWorld& world_;
  const ContestLimits& limits_;
  double began_ = 0;
  Outcome outcome_;
};

}  // namespace

const std::vector<Contest>& contests() {
  static const std::vector<Contest> all = {
      {"one_type_8", "8B", 128},
      {"two_types_16", "8B", 128},
      {"two_sites_32", "8B", 256},
      {"three_cities_48", "8B", 256},
      {"three_cities_48", "70B", 256},
      {"measured_types_24", "OPT-350M", 256},
      {"measured_types_24", "GPT-Neo-2.7B", 128},
      {"one_type_64", "8B", 512},
      {"one_type_64", "70B", 512},
      {"four_types_256", "70B", 1024},
      {"eight_sites_256", "8B", 1024},
      {"three_types_768", "70B", 2048},
      {"three_types_768", "405B", 2048},
      {"two_types_4096", "70B", 4096},
      {"two_types_4096", "405B", 4096},
      {"four_types_16384", "405B", 16384},
  };
  return all;
}

Result<Outcome> hold(const Contest& contest, const std::string& bench_folder,
                     const ContestLimits& limits) {
  const KnownModel& known = models().at(contest.model);
  Run run;
  run.model = known.model;
  run.precision = known.tables.empty() ? Precision::kBf16 : Precision::kFp32;
  run.global_batch = contest.global_batch;
  run.steps = 1000;
  SKARV_ASSIGN(const Cluster cluster,
               read_cluster(cat(bench_folder, "/clusters/", contest.cluster, ".toml")));
  std::set<std::string> chips;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) chips.insert(group.chip);
    }
  }
  Profile profile;
  if (known.tables.empty()) {
    SKARV_ASSIGN(profile, estimate_profile(run, {chips.begin(), chips.end()}));
  } else {
    SKARV_ASSIGN(profile,
                 profile_from_folder(bench_folder + "/validation", known.tables, run.model));
  }
  SKARV_ASSIGN(const PlanReport ours, make_plan(run, cluster, profile));
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const HostIndex hosts = index_hosts(cluster);
  const StepWorld world{workload, cluster, devices, hosts, profile, run.precision};
  return Arena(run, cluster, world, limits)
      .play(ours.plan, cat(contest.cluster, ", ", contest.model));
}

}  // namespace skarv
