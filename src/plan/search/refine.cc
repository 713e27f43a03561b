#include "plan/search/refine.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "plan/search/interleave.h"

namespace skarv {
namespace {

class Refiner {
 public:
  Refiner(const Pricer& pricer, const PlannerLimits& limits, int64_t most_actions, PricedPlan& plan)
      : pricer_(pricer),
        limits_(limits),
        last_action_(pricer.book().num_actions + most_actions),
        plan_(plan.plan),
        ns_(plan.island_ns) {}

  Result<int64_t> run() {
    for (bool is_better = true; is_better && has_time();) {
      const size_t slowest = std::ranges::max_element(ns_) - ns_.begin();
      is_better = improve(slowest) || move_layers_far(slowest) || move_two_borders(slowest) ||
                  swap_devices(slowest);
    }
    SKARV_TRY(broken_);
    return std::ranges::max(ns_);
  }

 private:
  bool has_time() const { return pricer_.book().num_actions < last_action_; }

  // Nothing where it is not faster, does not fit, or cannot run.
  std::optional<int64_t> play(const Island& island, int64_t faster_than) {
    if (!broken_.ok()) return std::nullopt;
    const auto [known, is_new] = tried_.emplace(text_of(island), faster_than);
    if (!is_new && known->second >= faster_than) return std::nullopt;
    known->second = faster_than;
    const Result<std::optional<int64_t>> ns =
        pricer_.faster_than(faster_than, island, plan_.owner_share);
    if (!ns.ok()) {
      broken_ = ns.status();
      return std::nullopt;
    }
    if (*ns) known->second = **ns;
    return *ns;
  }

  // All of an island that changes here.
  static std::string text_of(const Island& island) {
    std::string text = island.name;
    const auto add = [&text](int64_t number) { text += cat(" ", number); };
    for (const Pipeline& pipeline : island.pipelines) {
      text += " " + pipeline.schedule;
      add(pipeline.microbatch);
      add(pipeline.samples);
      for (const Stage& stage : pipeline.stages) {
        text += stage.recompute == Recompute::kFull ? " r" : " -";
        add(stage.last);
        text += stage.devices.front();
      }
    }
    return text;
  }

  // The island's time falls, or, with another one changed as well, the step's.
  template <typename Change>
  bool attempt(size_t mine, size_t other, Change change) {
    if (!has_time()) return false;
    Island first = plan_.islands[mine], second = plan_.islands[other];
    if (!change(first, mine == other ? first : second)) return false;
    const std::optional<int64_t> ns = play(first, ns_[mine]);
    if (!ns) return false;
    if (mine != other) {
      const std::optional<int64_t> others = play(second, ns_[mine]);
      if (!others) return false;
      plan_.islands[other] = std::move(second);
      ns_[other] = *others;
    }
    plan_.islands[mine] = std::move(first);
    ns_[mine] = *ns;
    return true;
  }

  bool is_alike(const Pipeline& a, const Pipeline& b) const {
    return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
           std::ranges::equal(a.stages, b.stages, [&](const Stage& one, const Stage& other) {
             return one.first == other.first && one.last == other.last &&
                    one.tensor_parallel == other.tensor_parallel &&
                    one.recompute == other.recompute && chip_of(one) == chip_of(other);
           });
  }

  const std::string& chip_of(const Stage& stage) const {
    return pricer_.world().devices.at(stage.devices[0]).chip.name;
  }

  // The first and the last pipeline of each kind.
  std::vector<size_t> kinds_of(const Island& island) const {
    std::vector<size_t> firsts, lasts;
    for (size_t p = 0; p < island.pipelines.size(); ++p) {
      const auto known = std::ranges::find_if(firsts, [&](size_t first) {
        return is_alike(island.pipelines[first], island.pipelines[p]);
      });
      if (known == firsts.end()) {
        firsts.push_back(p);
        lasts.push_back(p);
      } else {
        lasts[known - firsts.begin()] = p;
      }
    }
    firsts.insert(firsts.end(), lasts.begin(), lasts.end());
    std::ranges::sort(firsts);
    firsts.erase(std::ranges::unique(firsts).begin(), firsts.end());
    return firsts;
  }

  // In one pipeline, and in all that are like it.
  template <typename Change>
  bool attempt_pipelines(size_t island, size_t index, Change change) {
    bool is_better = false;
    for (bool in_all : {true, false}) {
      is_better |= attempt(island, island, [&](Island& trial, Island&) {
        const Pipeline model = trial.pipelines[index];
        int num_changed = 0;
        for (size_t p = 0; p < trial.pipelines.size(); ++p) {
          if (p != index && !(in_all && is_alike(trial.pipelines[p], model))) continue;
          if (!change(trial.pipelines[p])) return false;
          ++num_changed;
        }
        return num_changed > 1 || !in_all;
      });
    }
    return is_better;
  }

  // Two stages a device, all backwards split: in all pipelines, and in the first of each kind.
  bool attempt_interleaved(size_t island) {
    if (!limits_.allows("zero-bubble")) return false;
    bool is_better = attempt(island, island, [&](Island& trial, Island&) {
      for (Pipeline& pipeline : trial.pipelines) {
        if (pipeline.stages.size() > 1) pipeline.schedule = "zero-bubble";
      }
      std::optional<Island> changed = interleave(trial);
      if (changed) trial = std::move(*changed);
      return changed.has_value();
    });
    if (plan_.islands[island].pipelines.size() == 1) return is_better;
    for (size_t p : kinds_of(plan_.islands[island])) {
      is_better |= attempt_pipelines(island, p, [](Pipeline& pipeline) {
        Island alone{"", {pipeline}};
        alone.pipelines[0].schedule = "zero-bubble";
        const std::optional<Island> changed = interleave(alone);
        if (changed) pipeline = changed->pipelines[0];
        return changed.has_value();
      });
    }
    return is_better;
  }

  bool improve(size_t island) {
    bool is_better = attempt_interleaved(island);
    for (size_t p : kinds_of(plan_.islands[island])) {
      is_better |= improve_pipeline(island, p);
      is_better |= move_samples(island, p);
    }
    for (int size : {1, 2, 4, 8}) {
      is_better |= attempt(island, island, [&](Island& trial, Island&) {
        bool is_changed = false;
        for (Pipeline& pipeline : trial.pipelines) {
          if (size > pipeline.samples) return false;
          is_changed |= pipeline.microbatch != size;
          pipeline.microbatch = size;
        }
        return is_changed;
      });
    }
    return is_better;
  }

  bool improve_pipeline(size_t island, size_t p) {
    bool is_better = false;
    const size_t num_stages = plan_.islands[island].pipelines[p].stages.size();
    for (const char* name : {"1f1b", "zero-bubble"}) {
      if (num_stages < 2 || !limits_.allows(name)) continue;
      is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
        if (pipeline.schedule == name) return false;
        pipeline.schedule = name;
        return true;
      });
    }
    for (size_t s = 0; s < num_stages; ++s) {
      is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
        Recompute& recompute = pipeline.stages[s].recompute;
        recompute = recompute == Recompute::kFull ? Recompute::kNone : Recompute::kFull;
        return true;
      });
      if (s + 1 == num_stages) break;
      is_better |= move_layer(island, p, s + 1, s);
      is_better |= move_layer(island, p, s, s + 1);
    }
    return is_better;
  }

  // Stages between the two shift by a layer; memory may ask for less recomputation then, or more.
  bool move_layer(size_t island, size_t p, size_t from, size_t to) {
    bool is_better = false;
    for (int changed : {0, 1, 2, 3}) {
      is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
        std::vector<Stage>& stages = pipeline.stages;
        if ((changed & 1) != 0) stages[from].recompute = Recompute::kNone;
        if ((changed & 2) != 0) stages[to].recompute = Recompute::kFull;
        std::vector<std::pair<size_t, int>> borders;
        for (size_t s = std::min(from, to); s < std::max(from, to); ++s) {
          borders.emplace_back(s, from > to ? 1 : -1);
        }
        return move_borders(pipeline, borders);
      });
    }
    return is_better;
  }

  // To a stage that is not next to its own, the nearest first.
  bool move_layers_far(size_t island) {
    bool is_better = false;
    for (size_t p : kinds_of(plan_.islands[island])) {
      const size_t num_stages = plan_.islands[island].pipelines[p].stages.size();
      for (size_t distance = 2; distance < num_stages; ++distance) {
        for (size_t s = 0; s + distance < num_stages; ++s) {
          is_better |= move_layer(island, p, s + distance, s);
          is_better |= move_layer(island, p, s, s + distance);
        }
      }
    }
    return is_better;
  }

  // Each behind its stage; whether all stages still have layers.
  static bool move_borders(Pipeline& pipeline, const std::vector<std::pair<size_t, int>>& borders) {
    for (const auto& [stage, by] : borders) {
      pipeline.stages[stage].last += by;
      pipeline.stages[stage + 1].first += by;
    }
    return std::ranges::all_of(pipeline.stages,
                               [](const Stage& stage) { return stage.first < stage.last; });
  }

  bool move_two_borders(size_t island) {
    bool is_better = false;
    for (size_t p : kinds_of(plan_.islands[island])) {
      const size_t num_borders = plan_.islands[island].pipelines[p].stages.size() - 1;
      for (size_t first = 0; first < num_borders; ++first) {
        for (size_t second = first + 1; second < num_borders; ++second) {
          for (int by : {1, -1}) {
            for (int with : {by, -by}) {
              is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
                return move_borders(pipeline, {{first, by}, {second, with}});
              });
            }
          }
        }
      }
    }
    return is_better;
  }

  // Between stages of one pipeline, or of two that differ.
  bool swap_devices(size_t island) {
    bool is_better = false;
    const auto num_stages = [&](size_t p) {
      return plan_.islands[island].pipelines[p].stages.size();
    };
    for (size_t p = 0; p < plan_.islands[island].pipelines.size(); ++p) {
      for (size_t s = 0; s < num_stages(p); ++s) {
        for (size_t t = s + 1; t < num_stages(p); ++t) {
          is_better |= attempt_pipelines(
              island, p, [&](Pipeline& pipeline) { return swap(pipeline, s, pipeline, t); });
        }
      }
    }
    const std::vector<size_t> kinds = kinds_of(plan_.islands[island]);
    for (size_t p : kinds) {
      for (size_t q : kinds) {
        for (size_t s = 0; p < q && s < num_stages(p); ++s) {
          for (size_t t = 0; t < num_stages(q); ++t) {
            is_better |= attempt(island, island, [&](Island& trial, Island&) {
              return swap(trial.pipelines[p], s, trial.pipelines[q], t);
            });
          }
        }
      }
    }
    return is_better;
  }

  // Those of two stages, wherever they stand in the pipelines; false where that changes nothing.
  bool swap(Pipeline& one, size_t s, Pipeline& other, size_t t) const {
    const std::vector<std::string> first = one.stages[s].devices, second = other.stages[t].devices;
    if (first.size() != second.size() || first == second) return false;
    const DeviceInfo& a = pricer_.world().devices.at(first.front());
    const DeviceInfo& b = pricer_.world().devices.at(second.front());
    if (a.chip.name == b.chip.name && a.pace == b.pace && a.memory_bytes == b.memory_bytes &&
        host_name(a) == host_name(b)) {
      return false;
    }
    const auto exchange = [&](Pipeline& pipeline) {
      for (Stage& stage : pipeline.stages) {
        const bool is_first = stage.devices == first;
        if (is_first || stage.devices == second) stage.devices = is_first ? second : first;
      }
    };
    exchange(one);
    if (&one != &other) exchange(other);
    return true;
  }

  bool move_samples(size_t island, size_t from) {
    bool is_better = false;
    for (size_t other = 0; other < plan_.islands.size(); ++other) {
      for (size_t to : kinds_of(plan_.islands[other])) {
        if (other == island && from == to) continue;
        for (int64_t moved : {1, 2, 3}) {
          // In more microbatches, or in larger ones.
          for (int times_larger : {1, 2}) {
            is_better |= attempt(island, other, [&](Island& first, Island& second) {
              Pipeline &giver = first.pipelines[from], &taker = second.pipelines[to];
              giver.samples -= moved;
              taker.samples += moved;
              giver.microbatch = static_cast<int>(
                  std::min<int64_t>(giver.microbatch, std::max<int64_t>(1, giver.samples)));
              taker.microbatch *= times_larger;
              return giver.samples > 0 && taker.microbatch <= taker.samples;
            });
          }
        }
      }
    }
    return is_better;
  }

  const Pricer& pricer_;
  const PlannerLimits& limits_;
  const int64_t last_action_;
  Plan& plan_;
  std::vector<int64_t>& ns_;                        // by island
  std::unordered_map<std::string, int64_t> tried_;  // and what each of them is not faster than
  Status broken_;
};

}  // namespace

Result<int64_t> refine(const Pricer& pricer, const PlannerLimits& limits, int64_t most_actions,
                       PricedPlan& plan) {
  return Refiner(pricer, limits, most_actions, plan).run();
}

}  // namespace skarv
