#include "plan/search/finalists.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/text.h"
#include "plan/search/interleave.h"
#include "plan/search/island_time.h"
#include "plan/search/pipeline_clock.h"
#include "plan/search/stage_memory.h"

namespace skarv {
namespace {

constexpr int kSharings = 2;  // of the samples, by simulated times

// Actions of a step, by kinds of pipelines, that is also tried with two stages a device and with
// both sharings of the optimizer: some 30 ms each.
constexpr int64_t kMostTwice = 20'000;

// What sharing the optimizer by speed has to save of a longer step to be tried.
constexpr int64_t kWorthSharing = 1000;  // one part in so many

bool is_long(const IslandShape& shape) {
  int64_t num_actions = 0;
  for (const PipelineGroup& group : shape.groups) {
    num_actions += 7 * group.pipeline.num_stages() * group.num_microbatches();
  }
  return num_actions > kMostTwice;
}

// Shapes of an island that are simulated at least, whatever has been played already: of the whole
// that closed forms like best, and of others.
constexpr size_t kLeastOfFirst = 2, kLeastOfOthers = 1;
size_t num_judged(int64_t num_devices, bool is_first) {
  if (num_devices <= 64) return 48;
  if (num_devices <= 512) return 8;
  return num_devices <= 2048 ? 4 : is_first ? 2 : 1;
}

const std::map<std::string, double>& shares_of(const Assembled& assembled, bool is_even) {
  static const std::map<std::string, double> kEven;
  return is_even ? kEven : assembled.owner_share;
}

}  // namespace

void Ranking::add(const std::string& text, int64_t ns) {
  int64_t& best = best_.emplace(text, ns).first->second;
  best = std::min(best, ns);
}

int64_t Ranking::bar(size_t count) const {
  if (best_.size() < count) return kNever;
  std::vector<int64_t> steps;
  for (const auto& [text, ns] : best_) steps.push_back(ns);
  std::ranges::nth_element(steps, steps.begin() + static_cast<std::ptrdiff_t>(count - 1));
  return steps[count - 1];
}

Finals::Finals(const World& world, const Pricer& pricer, size_t num_kept, int64_t most_actions)
    : world_(world),
      pricer_(pricer),
      num_kept_(num_kept),
      last_action_(pricer.book().num_actions + most_actions) {}

std::string island_name(const World& world, const IslandChoice& choice) {
  std::vector<std::string> names;
  for (int site : choice.sites) names.push_back(world.sites()[site].name);
  std::ranges::sort(names);
  return join(names, "+");
}

std::string describe(const World& world, const IslandShape& shape) {
  std::vector<std::pair<std::string, int>> parts;  // pipelines alike, and how many
  for (const PipelineGroup& group : shape.groups) {
    std::string text;
    const std::vector<StageShape>& stages = group.pipeline.stages;
    for (size_t s = 0; s < stages.size();) {
      size_t end = s;
      while (end < stages.size() && stages[end].pool == stages[s].pool &&
             stages[end].tensor_parallel == stages[s].tensor_parallel) {
        ++end;
      }
      text += cat(text.empty() ? "" : " | ", end - s, " ", world.pool(stages[s].pool).chip.name);
      if (stages[s].tensor_parallel > 1) text += cat(" tp", stages[s].tensor_parallel);
      s = end;
    }
    auto known = std::ranges::find(parts, text, &std::pair<std::string, int>::first);
    if (known == parts.end()) known = parts.insert(known, {text, 0});
    known->second += group.replicas;
  }
  std::vector<std::string> texts;
  for (const auto& [text, count] : parts) texts.push_back(cat(count, " x (", text, ")"));
  return join(texts, ", ");
}

std::vector<int64_t> Finals::key_of(const IslandShape& shape) const {
  std::vector<int64_t> key;
  for (const PipelineGroup& group : shape.groups) {
    for (int64_t figure :
         {int64_t{group.replicas}, group.samples, int64_t{group.pipeline.microbatch},
          static_cast<int64_t>(group.pipeline.flow), int64_t{group.is_compact}}) {
      key.push_back(figure);
    }
    for (const StageShape& stage : group.pipeline.stages) {
      const Pool& pool = world_.pool(stage.pool);
      // Sites by their numbers where an island spans them; a lone site's number says nothing.
      const int first_site = world_.pool(shape.groups[0].pipeline.stages[0].pool).site;
      for (int64_t figure :
           {int64_t{pool.likeness}, int64_t{pool.num_hosts()},
            int64_t{pool.site == first_site ? -1 : pool.site}, int64_t{stage.tensor_parallel},
            int64_t{stage.first}, int64_t{stage.last}, int64_t{stage.recompute}}) {
        key.push_back(figure);
      }
    }
    key.push_back(-2);
  }
  return key;
}

Result<Finals::Verdict> Finals::play(const Assembled& assembled, bool is_even,
                                     int64_t bar_ns) const {
  const std::map<std::string, double>& shares = shares_of(assembled, is_even);
  Verdict verdict;
  verdict.is_even = is_even;
  if (bar_ns < Ranking::kNever) {
    SKARV_ASSIGN(const std::optional<int64_t> ns,
                 pricer_.faster_than(bar_ns, assembled.island, shares));
    verdict.is_possible = ns.has_value();
    (ns ? verdict.step_ns : verdict.given_up_ns) = ns ? *ns : bar_ns;
    return verdict;
  }
  const Result<IslandStep> step = pricer_.play(assembled.island, shares);
  if (!step.ok()) {
    if (!is_unfit(step.status())) return step.status();
    verdict.failed = step.status();
    return verdict;
  }
  verdict.is_possible = true;
  verdict.step_ns = step->trace.step_ns;
  if (const int rank = step->fullest_overflow(); rank >= 0) {
    verdict.overflow_bytes = step->memory[rank].total() - step->memory[rank].limit;
    verdict.fullest = step->schedule.devices[rank];
  }
  return verdict;
}

Result<std::vector<bool>> Finals::sharings(const Assembled& assembled, bool is_long) const {
  if (assembled.owner_share.empty()) return std::vector<bool>{true};
  if (!is_long) return std::vector<bool>{true, false};
  // The bound sees how long the optimizer takes, not what its memory costs.
  SKARV_ASSIGN(const int64_t even, pricer_.least(assembled.island, shares_of(assembled, true)));
  SKARV_ASSIGN(const int64_t uneven, pricer_.least(assembled.island, shares_of(assembled, false)));
  if (uneven < even - even / kWorthSharing) return std::vector<bool>{true, false};
  return std::vector<bool>{true};
}

Result<Finals::Verdict> Finals::verdict(const IslandShape& shape, const std::string& name,
                                        int64_t bar_ns) {
  const auto [entry, is_new] = verdicts_.emplace(key_of(shape), Verdict{});
  Verdict& best = entry->second;
  if (!is_new && (best.given_up_ns == 0 || bar_ns <= best.given_up_ns)) return best;
  best = {};
  const std::optional<Assembled> assembled = assemble(world_, shape, name);
  if (!assembled) return best;
  Result<std::vector<bool>> sharings = this->sharings(*assembled, is_long(shape));
  if (!sharings.ok()) {
    if (!is_unfit(sharings.status())) return sharings.status();
    best.failed = sharings.status();
    return best;
  }
  for (bool is_even : *sharings) {
    if (best.is_possible && pricer_.plays_are_costly()) break;
    SKARV_ASSIGN(const Verdict one, play(*assembled, is_even, best.fits() ? best.step_ns : bar_ns));
    const bool is_better =
        one.is_possible && (!best.is_possible || std::pair(one.overflow_bytes, one.step_ns) <
                                                     std::pair(best.overflow_bytes, best.step_ns));
    if (is_better || !best.is_possible) best = one;
  }
  if (!is_long(shape) && !pricer_.plays_are_costly() &&
      (best.is_possible || best.given_up_ns > 0)) {
    SKARV_TRY(try_interleaved(*assembled, best.fits() ? best.step_ns : bar_ns, best));
  }
  return best;
}

Status Finals::try_interleaved(const Assembled& assembled, int64_t bar_ns, Verdict& best) const {
  std::optional<Island> island = interleave(assembled.island);
  if (!island) return {};
  Assembled changed = assembled;
  changed.island = std::move(*island);
  SKARV_ASSIGN(Verdict one, play(changed, best.is_even, bar_ns));
  if (!one.is_possible) return {};
  if (best.is_possible &&
      std::pair(best.overflow_bytes, best.step_ns) <= std::pair(one.overflow_bytes, one.step_ns)) {
    return {};
  }
  best = std::move(one);
  best.is_interleaved = true;
  return {};
}

Assembled Finals::dressed(const IslandShape& shape, const std::string& name,
                          const Verdict& verdict) {
  Assembled assembled = *assemble(world_, shape, name);
  if (verdict.is_even) assembled.owner_share.clear();
  if (verdict.is_interleaved) assembled.island = *interleave(assembled.island);
  return assembled;
}

Result<std::optional<Finalist>> Finals::judge(const WholeShape& whole, int64_t bound_ns) {
  Finalist finalist;
  finalist.shape.left_out = whole.left_out;
  const bool is_first = verdicts_.empty();
  const size_t least = is_first ? kLeastOfFirst : kLeastOfOthers;
  std::vector<std::vector<std::pair<int64_t, const IslandShape*>>> fitting;  // by island
  for (const IslandChoice& choice : whole.islands) {
    const std::string name = island_name(world_, choice);
    int64_t num_devices = 0;
    for (int site : choice.sites) num_devices += world_.sites()[site].num_devices;
    Verdict best;
    const IslandShape* chosen = nullptr;
    fitting.emplace_back();
    Ranking ranking;
    size_t num_possible = 0;
    bool is_beaten = false;
    Status failed;
    for (const IslandShape& shape : choice.shapes) {
      const bool is_late = pricer_.plays_are_costly() || pricer_.book().num_actions >= last_action_;
      const size_t enough = pricer_.plays_are_costly() ? 1
                            : is_late                  ? least
                                                       : num_judged(num_devices, is_first);
      if (num_possible >= enough && best.overflow_bytes == 0) {
        break;
      }
      const bool is_costly = is_late || is_long(shape);
      const size_t num_kept =
          is_costly && world_.num_devices() > int64_t{kFewDevices} ? 1 : num_kept_;
      const int64_t bar = std::min({bound_ns, ranking_.bar(num_kept), ranking.bar(num_kept)});
      SKARV_ASSIGN(const Verdict one, verdict(shape, name, bar));
      if (one.given_up_ns > 0) {
        ++num_possible;
        is_beaten = true;
        continue;
      }
      if (!one.is_possible) {
        failed = one.failed;
        continue;
      }
      ++num_possible;
      if (one.overflow_bytes == 0) {
        fitting.back().emplace_back(one.step_ns, &shape);
        ranking.add(describe(world_, shape), one.step_ns);
      }
      // At equal times the one with fewer stages.
      if (chosen != nullptr &&
          std::tuple(best.overflow_bytes, best.step_ns, chosen->num_stages()) <=
              std::tuple(one.overflow_bytes, one.step_ns, shape.num_stages())) {
        continue;
      }
      best = one;
      chosen = &shape;
    }
    if (chosen == nullptr) {
      if (is_beaten) return std::optional<Finalist>();
      if (!failed.ok()) return failed.wrap(cat("island ", name));
      return Status(Code::kResourceExhausted, Scope::kConfig,
                    cat("the hosts of ", name, " are too broken up for any shape that fits"));
    }
    finalist.step_ns = std::max(finalist.step_ns, best.step_ns);
    if (best.overflow_bytes > finalist.overflow_bytes) {
      finalist.overflow_bytes = best.overflow_bytes;
      // Of an equal island the device has another name.
      finalist.fullest = best.fullest;
    }
    finalist.islands.push_back(dressed(*chosen, name, best));
    IslandChoice& mine = finalist.shape.islands.emplace_back(choice);
    mine.shapes = {*chosen};
    mine.shapes.front().step_ns = best.step_ns;
  }
  for (size_t i = 0; i < fitting.size(); ++i) {
    for (const auto& [ns, shape] : fitting[i]) {
      const std::string name = island_name(world_, whole.islands[i]);
      finalist.others.push_back(
          {std::max(finalist.step_ns, ns),
           (whole.islands.size() == 1 ? "" : name + ": ") + describe(world_, *shape), i, *shape,
           ns});
      const Finalist::Other& other = finalist.others.back();
      if (finalist.overflow_bytes == 0) ranking_.add(other.text, other.step_ns);
    }
  }
  return std::optional<Finalist>(std::move(finalist));
}

PricedPlan Finals::plan_of(const Finalist& finalist, const Finalist::Other& other) {
  Finalist changed = finalist;
  const std::string& name = changed.islands[other.island].island.name;
  const Verdict known = verdicts_.at(key_of(other.shape));
  changed.islands[other.island] = dressed(other.shape, name, known);
  PricedPlan result = skarv::plan_of(changed);
  result.island_ns[other.island] = other.island_ns;
  return result;
}

PricedPlan plan_of(const Finalist& finalist) {
  PricedPlan result;
  for (size_t i = 0; i < finalist.islands.size(); ++i) {
    const Assembled& assembled = finalist.islands[i];
    result.plan.islands.push_back(assembled.island);
    result.plan.owner_share.insert(assembled.owner_share.begin(), assembled.owner_share.end());
    result.island_ns.push_back(finalist.shape.islands[i].step_ns());
  }
  return result;
}

Status Finals::calibrate(const Assembled& assembled, IslandShape& shape) const {
  // Pipelines stand in the order of groups.
  std::map<std::string, size_t> group_of;
  size_t pipeline = 0;
  for (size_t g = 0; g < shape.groups.size(); ++g) {
    for (int r = 0; r < shape.groups[g].replicas; ++r, ++pipeline) {
      for (const Stage& stage : assembled.island.pipelines[pipeline].stages) {
        for (const std::string& device : stage.devices) group_of[device] = g;
      }
    }
  }
  StepSettings settings;
  settings.order.known = &pricer_.book().orders;
  SKARV_ASSIGN(const IslandStep step,
               simulate_island(assembled.island, assembled.owner_share, pricer_.world(), settings));
  std::vector<int64_t> ends(shape.groups.size(), 0);
  for (size_t rank = 0; rank < step.schedule.actions.size(); ++rank) {
    int64_t& end = ends[group_of.at(step.schedule.devices[rank])];
    for (size_t i = 0; i < step.schedule.actions[rank].size(); ++i) {
      if (step.schedule.actions[rank][i].kind == ActionKind::kReduce) break;
      if (step.schedule.actions[rank][i].kind == ActionKind::kClip) break;
      end = std::max(end, step.trace.spans[rank][i].end);
    }
  }
  for (size_t g = 0; g < ends.size(); ++g) {
    PipelineGroup& group = shape.groups[g];
    group.slowness = 1;
    const int64_t estimated = PipelineClock(world_, group).time_ns(group.samples);
    if (ends[g] == 0 || estimated == 0) continue;
    group.slowness = static_cast<double>(ends[g]) / static_cast<double>(estimated);
  }
  return {};
}

std::optional<Finalist> Finals::instead_of(const Finalist& finalist, const WholeShape& whole) {
  Result<std::optional<Finalist>> judged = judge(whole, finalist.step_ns);
  if (!judged.ok() || !*judged) return std::nullopt;
  Finalist& other = **judged;
  if (other.overflow_bytes > 0 || other.step_ns > finalist.step_ns) return std::nullopt;
  other.others = finalist.others;
  return std::move(*judged);
}

void Finals::share_anew(int64_t global_batch, Finalist& finalist) {
  const std::vector<IslandChoice>& islands = finalist.shape.islands;
  if (islands.size() == 1 && islands[0].shapes.front().groups.size() == 1) return;  // all alike
  for (int round = 0; round < kSharings && !pricer_.plays_are_costly(); ++round) {
    WholeShape whole = finalist.shape;
    for (size_t i = 0; i < whole.islands.size(); ++i) {
      if (!calibrate(finalist.islands[i], whole.islands[i].shapes.front()).ok()) return;
    }
    const std::vector<int64_t> samples = balance(world_, whole, global_batch);
    for (size_t i = 0; i < whole.islands.size(); ++i) {
      if (samples[i] == 0) return;
      whole.islands[i].samples = samples[i];
      if (!price_shape(world_, whole.islands[i].shapes.front(), samples[i])) return;
    }
    std::optional<Finalist> judged = instead_of(finalist, whole);
    if (!judged || judged->step_ns == finalist.step_ns) return;
    finalist = std::move(*judged);
  }
}

void Finals::move_layers(Finalist& finalist) {
  const int64_t num_devices = world_.num_devices();
  int trials = num_devices <= 64 ? 80 : num_devices <= 512 ? 40 : 0;
  for (bool is_better = true; is_better && trials > 0;) {
    is_better = false;
    size_t slowest = 0;
    for (size_t i = 0; i < finalist.shape.islands.size(); ++i) {
      if (finalist.shape.islands[i].step_ns() > finalist.shape.islands[slowest].step_ns()) {
        slowest = i;
      }
    }
    const IslandShape before = finalist.shape.islands[slowest].shapes.front();
    for (size_t g = 0; g < before.groups.size() && !is_better; ++g) {
      for (int s = 0; s + 1 < before.groups[g].pipeline.num_stages() && !is_better; ++s) {
        for (int direction : {1, -1}) {
          if (is_better || --trials < 0) break;
          WholeShape whole = finalist.shape;
          IslandShape& shape = whole.islands[slowest].shapes.front();
          std::vector<StageShape>& stages = shape.groups[g].pipeline.stages;
          stages[s].last += direction;
          stages[s + 1].first += direction;
          if (stages[s].last <= stages[s].first || stages[s + 1].last <= stages[s + 1].first) {
            continue;
          }
          if (!settle_memory(world_, shape.num_pipelines(), shape.groups[g])) continue;
          std::optional<Finalist> judged = instead_of(finalist, whole);
          if (!judged || judged->shape.islands[slowest].step_ns() >= before.step_ns) continue;
          finalist = std::move(*judged);
          is_better = true;
        }
      }
    }
  }
}

}  // namespace skarv
