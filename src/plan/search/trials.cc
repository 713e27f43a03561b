#include "plan/search/trials.h"

#include <algorithm>

#include "plan/schedule/builder.h"
#include "plan/search/edits.h"
#include "plan/search/room.h"

namespace skarv {
namespace {

constexpr int64_t kFarLonger = 50;    // a guess is a fiftieth off at most
constexpr int64_t kGuessActions = 8;  // what one takes, a stage
// From one look at the clock to the next, some milliseconds: whether there is time is asked before
// every trial.
constexpr int64_t kActionsOfLook = 10'000;

bool has_same_devices(const Pipeline& a, const Pipeline& b) {
  return std::ranges::equal(a.stages, b.stages, {}, &Stage::devices, &Stage::devices);
}

// As many stages and microbatches of the same schedules: orders are as good for one as for the
// other.
bool is_close(const Island& before, const Island& after) {
  return std::ranges::equal(before.pipelines, after.pipelines,
                            [](const Pipeline& a, const Pipeline& b) {
                              return a.schedule == b.schedule && a.microbatch == b.microbatch &&
                                     a.stages.size() == b.stages.size();
                            });
}

bool is_same(const Pipeline& a, const Pipeline& b) {
  return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
         has_same_cut(a, b) && has_same_devices(a, b);
}

}  // namespace

Trials::Trials(const Pricer& pricer, const PlannerLimits& limits, int64_t most_actions,
               int64_t most_in_vain, Tried& tried, PricedPlan& plan)
    : pricer_(pricer),
      limits_(limits),
      devices_(pricer.world().devices),
      last_action_(pricer.book().num_actions + most_actions),
      most_in_vain_(most_in_vain),
      last_gain_(pricer.book().num_actions),
      next_look_(pricer.book().num_actions),
      plan_(plan.plan),
      ns_(plan.island_ns),
      tried_(tried),
      likeness_(ns_.size()),
      probed_ns_(ns_.size()),
      use_(ns_.size()) {}

bool Trials::has_time() {
  const int64_t now = pricer_.book().num_actions;
  if (now >= next_look_) {
    next_look_ = now + kActionsOfLook;
    is_over_budget_ = limits_.is_over_budget();
  }
  return broken_.ok() && !is_over_budget_ && now < last_action_ && now - last_gain_ < most_in_vain_;
}

size_t Trials::slowest() const { return std::ranges::max_element(ns_) - ns_.begin(); }

const std::vector<PipelineUse>* Trials::use_of(size_t index) {
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

// Whether a pipeline that is cut otherwise lacks memory so much that its step is far longer: most
// layers that could be moved are such.
bool Trials::is_hopeless(size_t index, const Island& island, int64_t faster_than) {
  const std::vector<Pipeline>& before = plan_.islands[index].pipelines;
  for (size_t p = 0; p < std::min(before.size(), island.pipelines.size()); ++p) {
    const Pipeline &was = before[p], &is = island.pipelines[p];
    if (is_same(was, is) || !has_same_devices(was, is)) continue;
    count(kGuessActions * std::ssize(is.stages));
    const Result<int64_t> floor = guessed_floor(is, was, (*use_[index])[p], pricer_.world());
    if (floor.ok() && *floor - *floor / kFarLonger >= faster_than) return true;
  }
  return false;
}

WorkEnds Trials::ends_of_unchanged(size_t index, const Island& island) {
  const std::vector<Pipeline>& before = plan_.islands[index].pipelines;
  WorkEnds ends;
  for (size_t p = 0; p < std::min(before.size(), island.pipelines.size()); ++p) {
    if (!is_same(before[p], island.pipelines[p])) continue;
    for (size_t s = 0; s < before[p].stages.size(); ++s) {
      const int64_t end = (*use_[index])[p].stage_end_ns[s];
      for (const std::string& device : before[p].stages[s].devices) {
        ends[device] = std::max(ends[device], end);
      }
    }
  }
  return ends;
}

// Nothing where it is not faster, does not fit, or cannot run.
std::optional<int64_t> Trials::play(size_t index, const Island& island, int64_t faster_than) {
  if (!has_time()) return std::nullopt;
  const auto [known, is_new] = tried_.emplace(key_of(island), faster_than);
  if (!is_new && known->second >= faster_than) return std::nullopt;
  known->second = faster_than;
  const bool is_probed =
      is_close(plan_.islands[index], island) && !tries_first_orders_alone(island, kRunEffort);
  Neighbour neighbour{
      changed_in(plan_.islands[index], island), is_probed ? probed_ns(index) : 0, {}};
  if (is_large(index) && use_[index]) {
    if (is_hopeless(index, island, faster_than)) return std::nullopt;
    neighbour.ends = ends_of_unchanged(index, island);
  }
  const Result<std::optional<int64_t>> ns =
      pricer_.faster_than(faster_than, island, plan_.owner_share, neighbour);
  if (!ns.ok()) {
    broken_ = ns.status();
    return std::nullopt;
  }
  if (*ns) known->second = **ns;
  return *ns;
}

// What the island takes with first orders; 0: not known.
int64_t Trials::probed_ns(size_t index) {
  std::optional<int64_t>& known = probed_ns_[index];
  if (!known) {
    const Result<int64_t> probed = pricer_.probe(plan_.islands[index], plan_.owner_share);
    known = probed.ok() ? *probed : 0;
  }
  return *known;
}

// All of an island that changes here; of two that have the same key by chance, one is not tried.
uint64_t Trials::key_of(const Island& island) const {
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
Island Trials::changed_in(const Island& before, const Island& after) const {
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

bool Trials::is_alike(const Pipeline& a, const Pipeline& b) const {
  return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
         has_same_cut(a, b) &&
         std::ranges::equal(
             a.stages, b.stages, {}, [&](const Stage& one) { return chip_of(one); },
             [&](const Stage& one) { return chip_of(one); });
}

bool Trials::attempt(size_t mine, size_t other, const Change& change) {
  if (!has_time()) return false;
  // Of thousands of devices the names alone take a while.
  for (const Pipeline& pipeline : pipelines(mine)) count(std::ssize(pipeline.stages));
  std::map<size_t, Island> changed;
  Island& first = changed.emplace(mine, plan_.islands[mine]).first->second;
  Island& second = changed.emplace(other, plan_.islands[other]).first->second;
  return change(first, second) && take(mine, std::move(changed));
}

bool Trials::take(size_t mine, std::map<size_t, Island> changed) {
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

const Trials::Likeness& Trials::likeness(size_t island) {
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

std::vector<size_t> Trials::kinds_of(size_t island) {
  const std::vector<size_t>& kind = likeness(island).kind;
  std::vector<size_t> result;
  for (size_t p = 0; p < kind.size(); ++p) {
    const auto last = std::find(kind.rbegin(), kind.rend(), kind[p]).base() - kind.begin() - 1;
    if (kind[p] == p || static_cast<size_t>(last) == p) result.push_back(p);
  }
  if (is_large(island) && use_[island]) {
    std::ranges::stable_sort(result, std::greater<>(),
                             [&](size_t p) { return (*use_[island])[p].end_ns; });
  }
  return result;
}

std::vector<size_t> Trials::telling_stages(size_t island, size_t p) const {
  const std::vector<Stage>& stages = pipelines(island)[p].stages;
  const auto is_like_next = [&](size_t s) {
    const Stage &one = stages[s], &next = stages[s + 1];
    return one.last - one.first == next.last - next.first && one.recompute == next.recompute &&
           one.tensor_parallel == next.tensor_parallel && chip_of(one) == chip_of(next);
  };
  std::vector<size_t> telling;
  for (size_t s = 0; s < stages.size(); ++s) {
    const bool is_between =
        s > 0 && s + 1 < stages.size() && is_like_next(s - 1) && is_like_next(s);
    if (!is_large(island) || !is_between) telling.push_back(s);
  }
  return telling;
}

bool Trials::attempt_pipelines(size_t island, size_t index, const PipelineChange& change) {
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

}  // namespace skarv
