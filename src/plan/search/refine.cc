#include "plan/search/refine.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>

#include "plan/search/edit_draw.h"
#include "plan/search/interleave.h"

namespace skarv {
namespace {

class Refiner {
 public:
  Refiner(const Pricer& pricer, const PlannerLimits& limits, const RefineEffort& effort,
          Tried& tried, PricedPlan& plan)
      : pricer_(pricer),
        limits_(limits),
        devices_(pricer.world().devices),
        last_action_(pricer.book().num_actions + effort.most_actions),
        most_in_vain_(effort.most_in_vain > 0 ? effort.most_in_vain : effort.most_actions),
        last_gain_(pricer.book().num_actions),
        is_by_island_(effort.by_island),
        plan_(plan.plan),
        ns_(plan.island_ns),
        tried_(tried),
        likeness_(ns_.size()),
        probed_ns_(ns_.size()),
        use_(ns_.size()) {}

  Result<int64_t> run(bool draws) {
    while (has_time() && (share_anew() || improve_any() || (draws && draw()))) {
    }
    SKARV_TRY(broken_);
    return std::ranges::max(ns_);
  }

 private:
  bool has_time() const {
    const int64_t now = pricer_.book().num_actions;
    return broken_.ok() && now < last_action_ && now - last_gain_ < most_in_vain_;
  }

  // Samples go from pipelines that end late to those that end early, as many at once as helps.
  bool share_anew() {
    bool is_better = false;
    while (has_time()) {
      std::vector<UsedIsland> islands;
      for (size_t i = 0; i < ns_.size(); ++i) {
        const std::vector<PipelineUse>* use = use_of(i);
        if (use == nullptr) return is_better;
        islands.push_back({&plan_.islands[i], use, tail_ns(ns_[i], *use)});
      }
      const std::vector<SampleMove> moves = even_out(islands);
      size_t count = moves.size();
      for (; count > 0; count /= 2) {
        std::map<size_t, Island> changed;
        if (apply(std::span(moves).first(count), changed) && take(slowest(), std::move(changed))) {
          break;
        }
      }
      if (count == 0) return is_better;
      is_better = true;
    }
    return is_better;
  }

  // To those islands, and others as they are in the plan.
  bool apply(std::span<const SampleMove> moves, std::map<size_t, Island>& changed) const {
    const auto pipeline_at = [&](size_t island, size_t pipeline) -> Pipeline& {
      const auto known = changed.emplace(island, plan_.islands[island]).first;
      return known->second.pipelines[pipeline];
    };
    return std::ranges::all_of(moves, [&](const SampleMove& move) {
      return move_samples(move.samples, pipeline_at(move.from_island, move.from),
                          pipeline_at(move.to_island, move.to));
    });
  }

  size_t slowest() const { return std::ranges::max_element(ns_) - ns_.begin(); }

  // Null: it cannot be played.
  const std::vector<PipelineUse>* use_of(size_t index) {
    if (!use_[index]) {
      Result<std::vector<PipelineUse>> use = pricer_.use(plan_.islands[index], plan_.owner_share);
      if (!use.ok()) {
        broken_ = use.status();
        return nullptr;
      }
      use_[index] = std::move(use).value();
    }
    return &*use_[index];
  }

  // The slowest island; if nothing helps, the next ones, which may take samples off it then.
  bool improve_any() {
    std::vector<size_t> order(ns_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, std::greater<>(), [&](size_t island) { return ns_[island]; });
    if (is_by_island_) {
      return std::ranges::any_of(order, [&](size_t island) {
        return improve(island) || swap_devices(island) || move_layers_far(island) ||
               move_two_borders(island);
      });
    }
    // What takes long to look at comes when nothing else helps in any of them.
    const auto helps = [&](bool (Refiner::*change)(size_t)) {
      return std::ranges::any_of(order, [&](size_t island) { return (this->*change)(island); });
    };
    return helps(&Refiner::improve) || helps(&Refiner::move_layers_far) ||
           helps(&Refiner::move_two_borders) || helps(&Refiner::swap_devices);
  }

  // Of thousands of devices the names alone take a while.
  void count_copies(size_t island) {
    for (const Pipeline& pipeline : plan_.islands[island].pipelines) {
      pricer_.book().num_actions += std::ssize(pipeline.stages);
    }
  }

  // Nothing where it is not faster, does not fit, or cannot run.
  std::optional<int64_t> play(size_t index, const Island& island, int64_t faster_than) {
    if (!has_time()) return std::nullopt;
    const auto [known, is_new] = tried_.emplace(key_of(island), faster_than);
    if (!is_new && known->second >= faster_than) return std::nullopt;
    known->second = faster_than;
    const Island changed = changed_in(plan_.islands[index], island);
    const Result<std::optional<int64_t>> ns = pricer_.faster_than(
        faster_than, island, plan_.owner_share,
        {changed, is_close(plan_.islands[index], island) ? probed_ns(index) : 0});
    if (!ns.ok()) {
      broken_ = ns.status();
      return std::nullopt;
    }
    if (*ns) known->second = **ns;
    return *ns;
  }

  // As many stages and microbatches of the same schedules: orders are as good for one as for the
  // other.
  static bool is_close(const Island& before, const Island& after) {
    return std::ranges::equal(before.pipelines, after.pipelines,
                              [](const Pipeline& a, const Pipeline& b) {
                                return a.schedule == b.schedule && a.microbatch == b.microbatch &&
                                       a.stages.size() == b.stages.size();
                              });
  }

  // What the island takes with first orders; 0: not known.
  int64_t probed_ns(size_t index) {
    std::optional<int64_t>& known = probed_ns_[index];
    if (!known) {
      const Result<int64_t> probed = pricer_.probe(plan_.islands[index], plan_.owner_share);
      known = probed.ok() ? *probed : 0;
    }
    return *known;
  }

  // All of an island that changes here; of two that have the same key by chance, one is not tried.
  uint64_t key_of(const Island& island) const {
    uint64_t key = std::hash<std::string>()(island.name);
    const auto add = [&key](uint64_t word) {
      key = (key ^ word) * 0x9e3779b97f4a7c15ull;
      key ^= key >> 32;
    };
    add(plan_.owner_share.size());  // all 1, or by speed
    for (const Pipeline& pipeline : island.pipelines) {
      add(std::hash<std::string>()(pipeline.schedule));
      add(static_cast<uint64_t>(pipeline.microbatch));
      add(static_cast<uint64_t>(pipeline.samples));
      for (const Stage& stage : pipeline.stages) {
        add(2 * static_cast<uint64_t>(stage.last) + (stage.recompute == Recompute::kFull ? 1 : 0));
        add(std::hash<std::string>()(stage.devices.front()));
      }
    }
    return key;
  }

  // Pipelines that the island before did not have, one of each kind.
  Island changed_in(const Island& before, const Island& after) const {
    Island changed{after.name, {}};
    for (size_t p = 0; p < after.pipelines.size(); ++p) {
      const Pipeline& pipeline = after.pipelines[p];
      const auto was_at = [&](size_t place) {
        return place < before.pipelines.size() && is_same(before.pipelines[place], pipeline);
      };
      if (was_at(p) || was_at(p + 1)) continue;  // or one before it is left out
      const bool is_known = std::ranges::any_of(
          changed.pipelines, [&](const Pipeline& other) { return is_alike(other, pipeline); });
      if (!is_known) changed.pipelines.push_back(pipeline);
    }
    return changed;
  }

  static bool is_same(const Pipeline& a, const Pipeline& b) {
    return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
           has_same_cut(a, b) &&
           std::ranges::equal(a.stages, b.stages, {}, &Stage::devices, &Stage::devices);
  }

  bool is_alike(const Pipeline& a, const Pipeline& b) const {
    return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
           has_same_cut(a, b) &&
           std::ranges::equal(
               a.stages, b.stages, {}, [&](const Stage& one) { return chip_of(one); },
               [&](const Stage& one) { return chip_of(one); });
  }

  const std::string& chip_of(const Stage& stage) const {
    return devices_.at(stage.devices[0]).chip.name;
  }

  // The island's time falls, or, with another one changed as well, the step's.
  template <typename Change>
  bool attempt(size_t mine, size_t other, Change change) {
    if (!has_time()) return false;
    count_copies(mine);
    std::map<size_t, Island> changed;
    Island& first = changed.emplace(mine, plan_.islands[mine]).first->second;
    Island& second = changed.emplace(other, plan_.islands[other]).first->second;
    return change(first, second) && take(mine, std::move(changed));
  }

  // If all that have changed are faster now than that island was.
  bool take(size_t mine, std::map<size_t, Island> changed) {
    const int64_t limit = ns_[mine];
    std::map<size_t, int64_t> found;
    // The one that was slow first.
    for (bool is_mine : {true, false}) {
      for (const auto& [index, island] : changed) {
        if ((index == mine) != is_mine) continue;
        const std::optional<int64_t> ns = play(index, island, limit);
        if (!ns) return false;
        found[index] = *ns;
      }
    }
    last_gain_ = pricer_.book().num_actions;
    for (auto& [index, island] : changed) {
      plan_.islands[index] = std::move(island);
      ns_[index] = found[index];
      likeness_[index].reset();
      probed_ns_[index].reset();
      use_[index].reset();
    }
    return true;
  }

  // By pipeline: numbers of those that are wholly alike, and of those that are cut alike.
  struct Likeness {
    std::vector<size_t> kind, cut;  // the first pipeline of its like
  };

  const Likeness& likeness(size_t island) {
    std::optional<Likeness>& known = likeness_[island];
    if (known) return *known;
    known.emplace();
    const std::vector<Pipeline>& pipelines = plan_.islands[island].pipelines;
    std::vector<size_t> kinds, cuts;
    const auto number = [&](size_t p, std::vector<size_t>& firsts, auto is_like) {
      for (size_t first : firsts) {
        if (is_like(pipelines[first], pipelines[p])) return first;
      }
      firsts.push_back(p);
      return p;
    };
    for (size_t p = 0; p < pipelines.size(); ++p) {
      known->kind.push_back(number(p, kinds, [this](const Pipeline& one, const Pipeline& other) {
        return is_alike(one, other);
      }));
      known->cut.push_back(number(p, cuts, has_same_cut));
    }
    return *known;
  }

  // The first and the last pipeline of each kind.
  std::vector<size_t> kinds_of(size_t island) {
    const std::vector<size_t>& kind = likeness(island).kind;
    std::vector<size_t> result;
    for (size_t p = 0; p < kind.size(); ++p) {
      const auto last = std::find(kind.rbegin(), kind.rend(), kind[p]).base() - kind.begin() - 1;
      if (kind[p] == p || static_cast<size_t>(last) == p) result.push_back(p);
    }
    return result;
  }

  // In all pipelines that are cut like this one, in all that are wholly like it, in this one.
  template <typename Change>
  bool attempt_pipelines(size_t island, size_t index, Change change) {
    std::vector<std::vector<size_t>> sets(3);
    const Likeness& like = likeness(island);
    for (size_t p = 0; p < like.kind.size(); ++p) {
      if (like.cut[p] == like.cut[index]) sets[0].push_back(p);
      if (like.kind[p] == like.kind[index]) sets[1].push_back(p);
    }
    sets[2] = {index};
    sets.erase(std::ranges::unique(sets).begin(), sets.end());
    bool is_better = false;
    for (const std::vector<size_t>& set : sets) {
      is_better |= attempt(island, island, [&](Island& trial, Island&) {
        return std::ranges::all_of(set, [&](size_t p) { return change(trial.pipelines[p]); });
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
    for (size_t p : kinds_of(island)) {
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

  // Devices side by side by stages or by pipelines, of all pipelines with the same chips in a row.
  bool deal_devices_anew(size_t island) {
    const std::vector<Pipeline>& pipelines = plan_.islands[island].pipelines;
    std::map<std::vector<std::pair<std::string, size_t>>, std::vector<size_t>> rows;
    for (size_t p = 0; p < pipelines.size(); ++p) {
      std::vector<std::pair<std::string, size_t>> row;
      for (const Stage& stage : pipelines[p].stages) {
        row.emplace_back(chip_of(stage), stage.devices.size());
      }
      rows[row].push_back(p);
    }
    bool is_better = false;
    for (const auto& [row, alike] : rows) {
      if (alike.size() < 2) continue;
      for (bool by_stage : {true, false}) {
        is_better |= attempt(island, island, [&](Island& trial, Island&) {
          return deal_anew(devices_, alike, by_stage, trial);
        });
      }
    }
    return is_better;
  }

  bool improve(size_t island) {
    bool is_better = deal_devices_anew(island);
    is_better |= change_all(island);
    is_better |= attempt_interleaved(island);
    for (size_t p : kinds_of(island)) {
      for (const char* name : {"1f1b", "zero-bubble"}) is_better |= set_schedule(island, p, name);
      is_better |= relieve_stages(island, p);
      is_better |= move_layers(island, p, {0});
    }
    for (size_t p : kinds_of(island)) is_better |= move_samples_from(island, p, 1, true);
    if (is_better) return true;
    for (size_t p : kinds_of(island)) {
      is_better |= move_samples_from(island, p, 1, false);
      is_better |= move_samples_from(island, p, 2, false);
    }
    // Less recomputation than memory asks for does not fit, more takes longer: only now and then.
    for (size_t p : kinds_of(island)) {
      for (size_t s = 0; s < num_stages(island, p); ++s) {
        is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
          toggle_recompute(pipeline.stages[s]);
          return true;
        });
      }
      is_better |= move_layers(island, p, {1, 2, 3});
    }
    return is_better || leave_out_any(island);
  }

  size_t num_stages(size_t island, size_t p) const {
    return plan_.islands[island].pipelines[p].stages.size();
  }

  // Microbatch or schedule of the whole island.
  bool change_all(size_t island) {
    bool is_better = false;
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
    for (const char* name : {"1f1b", "zero-bubble"}) {
      if (!limits_.allows(name)) continue;
      is_better |= attempt(island, island, [&](Island& trial, Island&) {
        bool is_changed = false;
        for (Pipeline& pipeline : trial.pipelines) {
          if (pipeline.stages.size() < 2) continue;
          is_changed |= pipeline.schedule != name;
          pipeline.schedule = name;
        }
        return is_changed;
      });
    }
    return is_better;
  }

  bool set_schedule(size_t island, size_t p, const char* name) {
    if (num_stages(island, p) < 2 || !limits_.allows(name)) return false;
    return attempt_pipelines(island, p, [&](Pipeline& pipeline) {
      const bool is_changed = pipeline.schedule != name;
      pipeline.schedule = name;
      return is_changed;
    });
  }

  // A layer from a stage that computes long to one that does not, wherever they are: what takes
  // most off the longer one of the two first.
  bool relieve_stages(size_t island, size_t p) {
    bool is_better = false;
    for (bool is_going = true; is_going && has_time();) {
      is_going = false;
      const std::vector<PipelineUse>* use = use_of(island);
      if (use == nullptr) break;
      for (const LayerMove& move : reliefs(plan_.islands[island].pipelines[p], (*use)[p])) {
        const int changes = (move.keeps_from ? 1 : 0) + (move.recomputes_to ? 2 : 0);
        is_going = move_layer(island, p, move.from, move.to, {changes});
        if (is_going) break;
      }
      is_better |= is_going;
    }
    return is_better;
  }

  // Over each border, both ways.
  bool move_layers(size_t island, size_t p, const std::vector<int>& changes) {
    bool is_better = false;
    for (size_t s = 0; s + 1 < num_stages(island, p); ++s) {
      is_better |= move_layer(island, p, s + 1, s, changes);
      is_better |= move_layer(island, p, s, s + 1, changes);
    }
    return is_better;
  }

  // Memory may ask for less recomputation then (1, in the stage that gives), or more (2, in the
  // one that takes).
  bool move_layer(size_t island, size_t p, size_t from, size_t to,
                  const std::vector<int>& changes) {
    bool is_better = false;
    for (int changed : changes) {
      is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
        std::vector<Stage>& stages = pipeline.stages;
        if ((changed & 1) != 0) stages[from].recompute = Recompute::kNone;
        if ((changed & 2) != 0) stages[to].recompute = Recompute::kFull;
        return skarv::move_layer(from, to, pipeline);
      });
    }
    return is_better;
  }

  // To a stage that is not next to its own, the nearest first.
  bool move_layers_far(size_t island) {
    bool is_better = false;
    for (size_t p : kinds_of(island)) {
      for (size_t distance = 2; distance < num_stages(island, p); ++distance) {
        for (size_t s = 0; s + distance < num_stages(island, p); ++s) {
          is_better |= move_layer(island, p, s + distance, s, {0, 1, 2, 3});
          is_better |= move_layer(island, p, s, s + distance, {0, 1, 2, 3});
        }
      }
    }
    return is_better;
  }

  bool move_two_borders(size_t island) {
    bool is_better = false;
    for (size_t p : kinds_of(island)) {
      const size_t num_borders = num_stages(island, p) - 1;
      for (size_t first = 0; first < num_borders; ++first) {
        for (size_t second = first + 1; second < num_borders; ++second) {
          for (int by : {1, -1}) {
            for (int with : {by, -by}) {
              is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
                return move_borders({{first, by}, {second, with}}, pipeline);
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
    for (size_t p = 0; p < plan_.islands[island].pipelines.size(); ++p) {
      for (size_t s = 0; s < num_stages(island, p); ++s) {
        for (size_t t = s + 1; t < num_stages(island, p); ++t) {
          if (!can_exchange(island, p, s, p, t)) continue;
          is_better |= attempt_pipelines(island, p, [&](Pipeline& pipeline) {
            return exchange_devices(devices_, pipeline, s, pipeline, t);
          });
        }
      }
    }
    const std::vector<size_t> kinds = kinds_of(island);
    for (size_t p : kinds) {
      for (size_t q : kinds) {
        for (size_t s = 0; p < q && s < num_stages(island, p); ++s) {
          for (size_t t = 0; t < num_stages(island, q); ++t) {
            if (!can_exchange(island, p, s, q, t)) continue;
            is_better |= attempt(island, island, [&](Island& trial, Island&) {
              return exchange_devices(devices_, trial.pipelines[p], s, trial.pipelines[q], t);
            });
          }
        }
      }
    }
    return is_better;
  }

  bool can_exchange(size_t island, size_t p, size_t s, size_t q, size_t t) const {
    const std::vector<Pipeline>& pipelines = plan_.islands[island].pipelines;
    return skarv::can_exchange(devices_, pipelines[p].stages[s], pipelines[q].stages[t]);
  }

  // In more microbatches, or in larger ones. Only to those that end earlier then, as it is thought,
  // than the one that gives?
  bool move_samples_from(size_t island, size_t from, int times_larger, bool to_early) {
    bool is_better = false;
    for (size_t other = 0; other < plan_.islands.size(); ++other) {
      for (size_t to : kinds_of(other)) {
        if (other == island && from == to) continue;
        if (to_early && !ends_earlier(other, to, island, from)) continue;
        for (int64_t moved : {1, 2, 3}) {
          is_better |= attempt(island, other, [&](Island& first, Island& second) {
            Pipeline& taker = second.pipelines[to];
            if (!move_samples(moved, first.pipelines[from], taker)) return false;
            taker.microbatch *= times_larger;
            return taker.microbatch <= taker.samples;
          });
        }
      }
    }
    return is_better;
  }

  // With a microbatch more.
  bool ends_earlier(size_t island, size_t p, size_t other, size_t q) {
    const std::vector<PipelineUse>*mine = use_of(island), *others = use_of(other);
    if (mine == nullptr || others == nullptr) return false;
    const PipelineUse &taker = (*mine)[p], &giver = (*others)[q];
    return taker.end_ns + microbatch_ns(plan_.islands[island].pipelines[p], taker) +
               tail_ns(ns_[island], *mine) <
           giver.end_ns + tail_ns(ns_[other], *others);
  }

  bool leave_out_any(size_t island) {
    const std::vector<size_t> kinds = kinds_of(island);
    for (size_t p : kinds) {
      for (size_t taker : kinds) {
        const bool is_better = attempt(
            island, island, [&](Island& trial, Island&) { return leave_out(p, taker, trial); });
        if (is_better) return true;
      }
    }
    return false;
  }

  bool draw() {
    while (has_time()) {
      pricer_.book().num_actions += kDrawActions;
      std::map<size_t, Island> changed = draws_.next(plan_.islands, slowest());
      if (!changed.empty() && take(slowest(), std::move(changed))) return true;
    }
    return false;
  }

  static constexpr int64_t kDrawActions = 20;

  const Pricer& pricer_;
  const PlannerLimits& limits_;
  const DeviceIndex& devices_;
  const int64_t last_action_, most_in_vain_;
  int64_t last_gain_;  // when, in actions
  const bool is_by_island_;
  Plan& plan_;
  std::vector<int64_t>& ns_;  // by island
  Tried& tried_;
  std::vector<std::optional<Likeness>> likeness_;             // the same
  std::vector<std::optional<int64_t>> probed_ns_;             // the same
  std::vector<std::optional<std::vector<PipelineUse>>> use_;  // the same
  EditDraw draws_{devices_, limits_};
  Status broken_;
};

}  // namespace

Result<int64_t> refine(const Pricer& pricer, const PlannerLimits& limits,
                       const RefineEffort& effort, Tried& tried, PricedPlan& plan) {
  return Refiner(pricer, limits, effort, tried, plan).run(effort.draws);
}

}  // namespace skarv
