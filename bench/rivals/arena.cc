#include "rivals/arena.h"

#include <algorithm>
#include <ctime>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/schedule/timed_schedule.h"
#include "plan/simulate/island_step.h"
#include "plan/tables/profile_tables.h"
#include "rivals/likeness.h"
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

constexpr size_t kMostNew = 8;  // pipelines of a change that are bounded by themselves
constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 4;

double cpu_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

class Arena {
 public:
  Arena(const Run& run, const Cluster& cluster, const StepWorld& world, const Plan& ours,
        const ContestLimits& limits)
      : run_(run),
        cluster_(cluster),
        world_(world),
        ours_(ours),
        limits_(limits),
        table_(run.model, run.exchange.num_fragments) {}

  Result<Outcome> play(const Outcome& known) {
    SKARV_TRY(check_plan(ours_, run_.model, run_, cluster_).wrap("our own plan"));
    SKARV_TRY(play_ours());
    if (known.ours_ns == outcome_.ours_ns) outcome_ = known;
    began_ = cpu_seconds();
    const Rivals rivals(run_, cluster_);
    while (outcome_.next_rival < Rivals::size() && !is_late()) {
      const std::optional<Rival> rival = rivals.make(outcome_.next_rival);
      if (rival) meet(*rival);
      ++outcome_.next_rival;
      report();
    }
    while (!outcome_.is_done(limits_.num_changes) && !is_late()) {
      const auto seed = static_cast<uint64_t>(outcome_.num_tried++);
      const std::optional<Change> change = mutate(ours_, seed);
      if (change) meet(*change, seed);
      report();
    }
    return outcome_;
  }

 private:
  using End = IslandTrial::End;

  // Slabs, as a run has them and `skarv simulate` prices them.
  std::vector<GroupLoad> owners_of(const Island& island,
                                   const std::map<std::string, double>& owner_share) const {
    Plan owners;
    owners.owner_share = owner_share;
    return loads_of(ownership_of(island, owners, table_), table_);
  }

  bool is_late() const { return limits_.seconds > 0 && cpu_seconds() - began_ > limits_.seconds; }

  void report() {
    const double now = cpu_seconds();
    if (!limits_.progress || now < next_report_) return;
    next_report_ = now + 1;
    limits_.progress(outcome_);
  }

  Status play_ours() {
    for (const Island& island : ours_.islands) {
      StepSettings settings;
      settings.keep_spans = false;
      settings.order.max_pieces = kRunEffort;
      const std::vector<GroupLoad> owners = owners_of(island, ours_.owner_share);
      SKARV_ASSIGN(const IslandStep step,
                   simulate_island(island, ours_.owner_share, owners, world_, settings));
      if (step.fullest_overflow() >= 0) {
        return Status(Code::kInternal, Scope::kBug, "our own plan does not fit").at(island.name);
      }
      our_islands_.push_back(step.trace.step_ns);
      known_[likeness_of(island, ours_.owner_share, &owners, world_)] = {End::kPlayed,
                                                                         step.trace.step_ns};
    }
    outcome_.ours_ns = std::ranges::max(our_islands_);
    return {};
  }

  // Faster than the fastest rival so far, or beaten; of those that take twice as long as ours it is
  // enough to know that they do.
  void meet(const Rival& rival) {
    ++outcome_.num_rivals;
    int64_t slowest = 0;
    for (const Island& island : rival.plan.islands) {
      const int64_t best = outcome_.rival_ns == 0 ? 2 * outcome_.ours_ns : outcome_.rival_ns;
      if (is_too_much_work({"", {island.pipelines.front()}}, best)) return;
      const auto trial = attempt(island, rival.plan.owner_share,
                                 owners_of(island, rival.plan.owner_share), best, rival.what);
      if (!trial || trial->end != End::kPlayed) return;
      slowest = std::max(slowest, trial->step_ns);
    }
    outcome_.rival_ns = slowest;
    outcome_.rival = rival.what;
  }

  void meet(const Change& change, uint64_t seed) {
    ++outcome_.num_changes;
    // Played to its end if it is faster than ours, or the fastest so far of those that are not.
    const int64_t give_up =
        outcome_.change_ns == 0 ? kNever : std::max(outcome_.ours_ns, outcome_.change_ns);
    std::vector<int64_t> islands = our_islands_;
    for (const auto& [index, island] : change.islands) islands[index] = 0;
    int64_t slowest = std::ranges::max(islands);  // of those that are as they were
    if (slowest >= give_up) {
      ++outcome_.num_dismissed;
      return;
    }
    for (const auto& [index, island] : change.islands) {
      if (!is_too_much_work(new_pipelines(ours_.islands[index], island), give_up)) continue;
      ++outcome_.num_dismissed;
      return;
    }
    bool is_known = true;
    for (const auto& [index, island] : change.islands) {
      std::vector<GroupLoad> owners = owners_of(island, ours_.owner_share);
      const uint64_t likeness = likeness_of(island, ours_.owner_share, &owners, world_);
      auto known = known_.find(likeness);
      if (known == known_.end()) {
        const auto trial =
            attempt(island, ours_.owner_share, std::move(owners), give_up, cat("change ", seed));
        if (!trial) {
          --outcome_.num_changes;
          return;
        }
        known = known_.emplace(likeness, *trial).first;
        is_known = false;
      }
      const IslandTrial& trial = known->second;
      if (trial.end == End::kPlayed && trial.step_ns < give_up) {
        slowest = std::max(slowest, trial.step_ns);
        continue;
      }
      ++(is_known                        ? outcome_.num_alike
         : trial.end == End::kDismissed  ? outcome_.num_dismissed
         : trial.end == End::kDoesNotFit ? outcome_.num_unfit
                                         : outcome_.num_simulated);
      return;
    }
    ++(is_known ? outcome_.num_alike : outcome_.num_simulated);
    outcome_.num_faster += slowest < outcome_.ours_ns;
    if (outcome_.change_ns != 0 && slowest >= outcome_.change_ns) return;
    outcome_.change_ns = slowest;
    outcome_.change_seed = static_cast<int64_t>(seed);
  }

  // Before anything is asked of owners. What cannot be bounded is for the simulator to refuse.
  bool is_too_much_work(const Island& some_pipelines, int64_t limit) const {
    if (some_pipelines.pipelines.empty() || limit >= kNever) return false;
    const Result<int64_t> least = least_work(some_pipelines, world_);
    return least.ok() && *least >= limit;
  }

  // Those that ours has not in this place: any of them bounds the island.
  static Island new_pipelines(const Island& ours, const Island& changed) {
    Island result{changed.name, {}};
    for (size_t p = 0; p < changed.pipelines.size() && result.pipelines.size() < kMostNew; ++p) {
      const auto is_ours = [&](size_t place) {
        return place < ours.pipelines.size() &&
               is_same(ours.pipelines[place], changed.pipelines[p]);
      };
      // Where one was left out the others have moved up.
      if (!is_ours(p) && !is_ours(p + 1)) result.pipelines.push_back(changed.pipelines[p]);
    }
    return result;
  }

  static bool is_same(const Pipeline& a, const Pipeline& b) {
    return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
           std::ranges::equal(a.stages, b.stages, [](const Stage& one, const Stage& other) {
             return one.first == other.first && one.last == other.last &&
                    one.recompute == other.recompute && one.devices == other.devices;
           });
  }

  // Nothing where it cannot be played, which counts as broken unless a link or time is missing or
  // the step is too large.
  std::optional<IslandTrial> attempt(const Island& island,
                                     const std::map<std::string, double>& owner_share,
                                     std::vector<GroupLoad> owners, int64_t give_up,
                                     const std::string& who) {
    OrderOptions order;
    order.max_pieces = kRunEffort;
    const Result<IslandTrial> trial =
        try_island(island, owner_share, std::move(owners), world_, give_up, order);
    if (trial.ok()) return *trial;
    const Code code = trial.status().code();
    if (code == Code::kNotFound || code == Code::kResourceExhausted) return std::nullopt;
    if (outcome_.num_broken++ == 0) outcome_.broken = cat(who, ": ", trial.status().message());
    return std::nullopt;
  }

  const Run& run_;
  const Cluster& cluster_;
  const StepWorld& world_;
  const Plan& ours_;
  const ContestLimits& limits_;
  const SlabTable table_;
  std::vector<int64_t> our_islands_;
  // What was found of islands that look like this. Limits only fall, so it still holds.
  std::unordered_map<uint64_t, IslandTrial> known_;
  double began_ = 0, next_report_ = 0;
  Outcome outcome_;
};

}  // namespace

bool Outcome::is_done(int num_wanted) const {
  return next_rival >= Rivals::size() && num_changes >= num_wanted;
}

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
      {"ethernet_8", "8B", 128},
      {"ethernet_64", "8B", 512},
      {"ethernet_64", "70B", 512},
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

Result<Held> hold(const Contest& contest, const std::string& bench_folder,
                  const ContestLimits& limits, const Outcome& known_outcome) {
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
  PlannerLimits planner;
  planner.thorough = limits.thorough;
  SKARV_ASSIGN(const PlanReport ours, make_plan(run, cluster, profile, planner));
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const HostIndex hosts = index_hosts(cluster);
  const StepWorld world{workload, cluster, devices, hosts, profile, run.precision};
  const Result<Outcome> outcome = Arena(run, cluster, world, ours.plan, limits).play(known_outcome);
  if (!outcome.ok()) return outcome.status().at(cat(contest.cluster, ", ", contest.model));
  Held held{*outcome, ours.plan, {}};
  if (outcome->num_faster > 0) {
    const auto change = mutate(ours.plan, static_cast<uint64_t>(outcome->change_seed));
    if (change) held.faster = with_change(ours.plan, *change);
  }
  return held;
}

}  // namespace skarv
