#include "plan/search/chooser.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "plan/search/fewer_devices.h"
#include "plan/search/refine.h"

namespace skarv {
namespace {

constexpr int kTightenings = 4;  // a pool's memory is lowered by what the simulator found too much
constexpr size_t kNumFinalists = 4;  // of a large cluster
constexpr size_t kNumSmallFinalists = 12;
constexpr size_t kNumAlternatives = 5;
constexpr int64_t kFewDevices = 64;  // up to here clusters with devices less are looked at too, ...
constexpr int64_t kLeastClusters = 8, kClusterDevices = 640;  // ... as many, and
constexpr int64_t kNearly = 10;  // less again where the step is at most a tenth longer
// Played at the very end, some seconds of few devices and a moment of many.
constexpr int64_t kMedium = 512;  // devices
constexpr int64_t kActionsOfFew = 6'000'000, kActionsOfMany = 200'000;

class Chooser {
 public:
  explicit Chooser(const Question& question) : question_(question) {}

  Result<Chosen> run() {
    SKARV_ASSIGN(World world, make_world());
    if (question_.global_batch < 1) {
      return config_error(cat("global_batch = ", question_.global_batch, " is not positive"))
          .at("run.global_batch")
          .with_hint("give the samples of a step");
    }
    for (int round = 0; round < kTightenings; ++round) {
      found_ = search_sites(world, question_.global_batch, question_.min_islands);
      if (found_.empty()) break;
      SKARV_ASSIGN(std::optional<Finalist> best, best_of(world));
      if (!best) break;
      if (best->overflow_bytes == 0) {
        Chosen chosen;
        chosen.plan = plan_of(*best);
        chosen.alternatives = alternatives(world, *best);
        if (question_.looks_at_fewer) {
          take_fewer(world, best->step_ns, chosen.plan);
          if (!world.is_over_budget()) {
            best->step_ns = refine(question_.step, question_.limits,
                                   num_devices(world) <= kMedium ? kActionsOfFew : kActionsOfMany,
                                   best->step_ns, chosen.plan);
          }
        }
        add_idle(world, *best, chosen.plan);
        chosen.step_ns = best->step_ns;
        if (question_.looks_at_single_chips) add_best_single(world, chosen);
        return chosen;
      }
      world.lower_memory(best->fullest, best->overflow_bytes);
    }
    return does_not_fit();
  }

 private:
  static int64_t num_devices(const World& world) {
    int64_t count = 0;
    for (const Pool& pool : world.pools()) count += pool.num_devices();
    return count;
  }

  Result<World> make_world() const {
    const StepWorld& step = question_.step;
    return World::create(step.workload, step.cluster, step.links, step.precision,
                         question_.tied_parameters, question_.limits);
  }

  Result<std::optional<Finalist>> best_of(const World& world) {
    std::optional<Finalist> best;
    Status failed;
    Finals finals(world, question_.step);
    others_.clear();
    const size_t num_finalists =
        num_devices(world) <= kFewDevices ? kNumSmallFinalists : kNumFinalists;
    for (size_t i = 0; i < found_.size() && i < num_finalists; ++i) {
      Result<Finalist> judged = finals.judge(found_[i]);
      if (!judged.ok()) {
        failed = judged.status();
        continue;
      }
      others_.insert(others_.end(), judged->others.begin(), judged->others.end());
      if (best && std::pair(best->overflow_bytes, best->step_ns) <=
                      std::pair(judged->overflow_bytes, judged->step_ns)) {
        continue;
      }
      best = std::move(*judged);
    }
    if (!best && !failed.ok()) return failed;
    if (best && best->overflow_bytes == 0) {
      finals.share_anew(question_.global_batch, *best);
      if (!world.is_over_budget()) finals.move_layers(*best);
    }
    return best;
  }

  // The best plans of clusters with some devices less: a search that is not complete may overlook
  // in this one what it finds there. Those whose own answer is nearly as good are looked at without
  // a further device, so that this cluster sees all that they would see.
  void take_fewer(const World& world, int64_t& step_ns, Plan& plan) const {
    const int64_t count = num_devices(world);
    if (count > kFewDevices || count < 2) return;
    std::multimap<int64_t, FewerDevices> open;  // by the step of the cluster with one more
    std::set<std::set<std::string>> seen;
    const auto add_smaller = [&](const World& of, const Cluster& cluster,
                                 const std::map<std::string, std::string>* names, int64_t ns) {
      for (FewerDevices& fewer : without_a_device(of, cluster)) {
        std::set<std::string> left;
        for (auto& [name, real] : fewer.real_names) {
          if (names != nullptr) real = names->at(real);
          left.insert(real);
        }
        if (seen.insert(std::move(left)).second) open.emplace(ns, std::move(fewer));
      }
    };
    add_smaller(world, question_.step.cluster, nullptr, step_ns);
    const int64_t most = std::max<int64_t>(kLeastClusters, kClusterDevices / count);
    for (int64_t i = 0; i < most && !open.empty() && !world.is_over_budget(); ++i) {
      const FewerDevices fewer = std::move(open.begin()->second);
      open.erase(open.begin());
      const Result<DeviceIndex> devices = index_devices(fewer.cluster);
      if (!devices.ok()) continue;
      const HostIndex hosts = index_hosts(fewer.cluster);
      Profile links = question_.step.links;
      rename_measures(fewer.real_names, links);
      const StepWorld& step = question_.step;
      const StepWorld smaller{step.workload, fewer.cluster, *devices, hosts, links, step.precision};
      Question question{smaller, question_.global_batch, question_.min_islands,
                        question_.tied_parameters, question_.limits};
      question.looks_at_fewer = false;
      question.looks_at_single_chips = false;
      Chooser chooser(question);
      Result<Chosen> chosen = chooser.run();
      if (!chosen.ok()) continue;
      if (chosen->step_ns <= step_ns + step_ns / kNearly) {
        const Result<World> less = chooser.make_world();
        if (less.ok()) add_smaller(*less, fewer.cluster, &fewer.real_names, chosen->step_ns);
      }
      if (chosen->step_ns >= step_ns) continue;
      step_ns = chosen->step_ns;
      plan = std::move(chosen->plan);
      rename_devices(fewer.real_names, plan);
      plan.idle.clear();
    }
  }

  // Of the smaller cluster's devices, by their names there.
  static void rename_measures(const std::map<std::string, std::string>& real_names,
                              Profile& profile) {
    std::vector<DeviceMeasure> measures;
    for (const auto& [name, real] : real_names) {
      for (DeviceMeasure measure : profile.devices) {
        if (measure.device != real) continue;
        measure.device = name;
        measures.push_back(measure);
      }
    }
    profile.devices = std::move(measures);
  }

  static Plan plan_of(const Finalist& finalist) {
    Plan plan;
    for (const Assembled& assembled : finalist.islands) {
      plan.islands.push_back(assembled.island);
      plan.owner_share.insert(assembled.owner_share.begin(), assembled.owner_share.end());
    }
    return plan;
  }

  std::vector<AlternativeReport> alternatives(const World& world, const Finalist& best) const {
    std::set<std::string> seen;
    for (const IslandChoice& choice : best.shape.islands) {
      const std::string text = describe(world, choice.shapes.front());
      seen.insert(text);
      seen.insert(island_name(world, choice) + ": " + text);
    }
    std::vector<std::pair<int64_t, std::string>> others = others_;
    std::ranges::sort(others);
    std::vector<AlternativeReport> result;
    for (const auto& [ns, text] : others) {
      if (result.size() >= kNumAlternatives) break;
      if (ns < best.step_ns || !seen.insert(text).second) continue;
      result.push_back({text, static_cast<double>(ns) * 1e-9});
    }
    return result;
  }

  // Every device that the plan does not use, with the reason.
  void add_idle(const World& world, const Finalist& best, Plan& plan) const {
    std::set<std::string> used;
    for (const Island& island : plan.islands) {
      for (const std::string& device : island.devices()) used.insert(device);
    }
    for (size_t p = 0; p < world.pools().size(); ++p) {
      const Pool& pool = world.pools()[p];
      int num_used = 0, num_all = 0;
      for (const std::vector<std::string>& host : pool.hosts) {
        for (const std::string& device : host) {
          num_used += used.contains(device);
          ++num_all;
        }
      }
      if (num_used == num_all) continue;
      const std::string reason = reason_for(world, best, static_cast<int>(p), num_used, num_all);
      for (const std::vector<std::string>& host : pool.hosts) {
        for (const std::string& device : host) {
          if (!used.contains(device)) plan.idle.push_back({device, reason});
        }
      }
    }
  }

  std::string reason_for(const World& world, const Finalist& best, int pool, int num_used,
                         int num_all) const {
    const Pool& devices = world.pool(pool);
    const std::string who = cat(world.sites()[devices.site].name, "'s ", devices.chip.name, "s");
    if (devices.num_barred > 0 && num_used == devices.num_devices()) {
      return "an island has one host with this trainer; another one of the site is faster";
    }
    if (num_used > 0) {
      return cat("the stages and samples need only ", num_used, " of ", who, " (", num_all, ")");
    }
    for (const WholeShape& whole : found_) {
      for (const IslandChoice& choice : whole.islands) {
        const auto with = choice.step_with_pool.find(pool);
        if (with == choice.step_with_pool.end()) continue;
        for (const IslandChoice& mine : best.shape.islands) {
          if (mine.sites != choice.sites) continue;
          const double longer = static_cast<double>(std::max(with->second, best.step_ns)) /
                                    static_cast<double>(best.step_ns) -
                                1;
          if (longer < 0.0005) return cat(who, " would not make the step shorter: left out");
          return cat(who, " would slow the island by ", fixed(100 * longer, 1), " %: left out");
        }
      }
    }
    for (int site : best.shape.left_out) {
      if (site != devices.site) continue;
      return cat("site ", world.sites()[site].name,
                 " has no part of model and batch that fits its memory and ends in the step of the "
                 "others");
    }
    return cat(who, " fit in no pipeline that holds the model: left out");
  }

  // The best plan that uses one type of chip alone.
  void add_best_single(const World& world, Chosen& chosen) const {
    std::set<std::string> chips;
    for (const Pool& pool : world.pools()) chips.insert(pool.chip.name);
    if (chips.size() < 2) return;
    for (const std::string& chip : chips) {
      const World alone = world.restricted_to(chip);
      const std::vector<WholeShape> found = search_sites(alone, question_.global_batch, 1);
      if (found.empty()) continue;
      const Result<Finalist> judged = Finals(alone, question_.step).judge(found.front());
      if (!judged.ok() || judged->overflow_bytes > 0) continue;
      if (chosen.best_single_ns > 0 && judged->step_ns >= chosen.best_single_ns) continue;
      chosen.best_single_ns = judged->step_ns;
      chosen.best_single_chip = chip;
    }
  }

  // What the plan that needs least lacks.
  Status does_not_fit() const {
    SKARV_ASSIGN(World world, make_world());
    world.forget_memory();
    const std::vector<WholeShape> found = search_sites(world, question_.global_batch, 1);
    if (found.empty()) return bug("no plan even without limits of memory");
    WholeShape whole = found.front();
    for (IslandChoice& choice : whole.islands) {
      for (IslandShape& shape : choice.shapes) {
        for (PipelineGroup& group : shape.groups) {
          group.pipeline.flow = Flow::k1f1b;
          for (StageShape& stage : group.pipeline.stages) stage.recompute = true;
        }
      }
    }
    SKARV_ASSIGN(const Finalist nearest, Finals(world, question_.step).judge(whole));
    for (const Assembled& assembled : nearest.islands) {
      SKARV_ASSIGN(const IslandStep step,
                   simulate_island(assembled.island, assembled.owner_share, question_.step));
      const int rank = step.fullest_overflow();
      if (rank >= 0) return describe_overflow(step.schedule.devices[rank], step.memory[rank]);
      // Devices have room, so it is the keepers that do not.
      const std::vector<GroupLoad> loads = loads_of(assembled.island, question_.step.workload, {});
      SKARV_TRY(
          check_keepers(keeper_memory(assembled.island.devices(), loads), question_.step.hosts));
    }
    return Status(Code::kResourceExhausted, Scope::kConfig, "no plan fits in memory")
        .with_hint("choose a smaller model or context, or add devices");
  }

  static Status describe_overflow(const std::string& device, const DeviceMemory& memory) {
    const std::string site = device.substr(0, device.find('/'));
    const auto show = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("no plan fits in the memory of site ", site, "; in the nearest one ", device,
                      " needs ", show(memory.total()), " (weights ", show(memory.weights),
                      ", gradients ", show(memory.gradients), ", optimizer ",
                      show(memory.optimizer), ", activations ", show(memory.activations),
                      ", buffers ", show(memory.buffers), ", worker ", show(memory.base),
                      ", reserve ", show(memory.reserve), ") of ", show(memory.limit)))
        .at(site)
        .with_hint("choose a smaller model or context, or add devices to the site");
  }

  const Question& question_;
  std::vector<WholeShape> found_;
  std::vector<std::pair<int64_t, std::string>> others_;
};

}  // namespace

Result<Chosen> choose(const Question& question) { return Chooser(question).run(); }

Status check_keepers(const std::map<std::string, int64_t>& bytes_by_host, const HostIndex& hosts) {
  for (const auto& [name, bytes] : bytes_by_host) {
    const auto host = hosts.find(name);
    if (host == hosts.end() || host->second->memory_bytes == 0) continue;
    if (bytes <= host->second->memory_bytes) continue;
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("the keeper on host ", name, " needs ",
                      human_bytes(static_cast<double>(bytes)), " of ",
                      human_bytes(static_cast<double>(host->second->memory_bytes)), " host memory"))
        .at(name)
        .with_hint("add hosts to the site: its keepers share the model's slabs");
  }
  return {};
}

}  // namespace skarv
