#include "plan/search/small_search.h"

#include <algorithm>
#include <array>
#include <optional>

#include "plan/search/cuts.h"
#include "plan/search/island_time.h"
#include "plan/search/pipeline_clock.h"
#include "plan/search/pipeline_replay.h"
#include "plan/search/stage_memory.h"

namespace skarv {
namespace {

constexpr int kMostDevices = 6;
constexpr int64_t kMostSamples = 512;
constexpr size_t kWanted = 48;  // interleaving may turn the order over
constexpr size_t kMostChains = 3000;
// Sets whose orders are played: estimates are some percent off, and the fewer the samples the more
// sets lie that close together.
constexpr int64_t kLeastKept = 64, kMostKept = 512, kManyKept = 8192;  // the last: by samples
constexpr int64_t kMostCuts = 40;  // all cuts are played up to this many

class SmallSearch {
 public:
  SmallSearch(const World& world, const IslandQuestion& question)
      : world_(world), question_(question), supply_(world, question.pools) {
    for (int pool : question.pools) num_devices_ += world.pool(pool).num_devices();
    const int64_t wanted = kManyKept / std::max<int64_t>(1, question.samples);
    num_kept_ = static_cast<size_t>(std::clamp(wanted, kLeastKept, kMostKept));
  }

  std::vector<IslandShape> run() {
    std::vector<StageShape> stages;
    list_chains(stages);
    std::vector<int> chosen;
    list_sets(0, chosen);
    // Once more for the best, with orders played instead of estimated.
    const std::vector<Set> promising = std::move(best_);
    best_.clear();
    is_exact_ = true;
    for (Chain& chain : chains_) chain.timing.assign(num_devices_ + 1, std::nullopt);
    for (const Set& set : promising) {
      if (set.ns > longest_worth_playing(promising.front().ns)) break;
      offer(set.chains);
    }
    std::vector<IslandShape> result;
    for (const Set& set : best_) {
      IslandShape island = shape_of(set.chains);
      if (!price_shape(world_, island, question_.samples)) continue;
      island.step_ns = set.ns;
      result.push_back(std::move(island));
    }
    if (result.size() > kWanted) result.resize(kWanted);
    return result;
  }

 private:
  // Estimates are not wrong by more than a fifth.
  static int64_t longest_worth_playing(int64_t best_ns) { return best_ns + best_ns / 5; }

  // Stages in order, and the fastest way to run them for 1, 2, ... samples when `sharers`
  // pipelines in all share the optimizer state.
  struct Timing {
    std::vector<int64_t> ns;  // by samples - 1; rising
    std::vector<int> option;  // by samples - 1: into options
    std::vector<PipelineGroup> options;
    std::vector<std::array<int64_t, 3>> figures;  // alone, fill and period, by option
  };
  struct Chain {
    std::vector<StageShape> stages;
    std::vector<std::optional<Timing>> timing;  // by number of sharers
  };
  struct Set {
    int64_t ns = 0;
    std::vector<int> chains;
  };

  void list_chains(std::vector<StageShape>& stages) {
    if (chains_.size() > kMostChains) return;
    if (!stages.empty()) {
      chains_.push_back({stages, std::vector<std::optional<Timing>>(num_devices_ + 1)});
    }
    if (static_cast<int>(stages.size()) == world_.num_layers()) return;
    for (int pool : question_.pools) {
      for (int degree : world_.tensor_parallels(pool)) {
        PipelineGroup taken;
        taken.pipeline.stages.push_back({pool, degree});
        if (supply_.num_groups(pool, degree) < 1 || !supply_.take(taken)) continue;
        stages.push_back({pool, degree});
        list_chains(stages);
        stages.pop_back();
        supply_.put_back(taken);
      }
    }
  }

  void list_sets(size_t from, std::vector<int>& chosen) {
    if (!chosen.empty()) offer(chosen);
    if (static_cast<int64_t>(chosen.size()) >= question_.samples) return;
    for (size_t c = from; c < chains_.size(); ++c) {
      PipelineGroup taken;
      taken.pipeline.stages = chains_[c].stages;
      if (!supply_.take(taken)) continue;
      chosen.push_back(static_cast<int>(c));
      list_sets(c, chosen);
      chosen.pop_back();
      supply_.put_back(taken);
    }
  }

  void offer(const std::vector<int>& chosen) {
    int64_t high = 0, low = 0;
    std::vector<const Timing*> timings;
    for (int c : chosen) {
      timings.push_back(&timing_of(chains_[c], static_cast<int>(chosen.size())));
      if (timings.back()->ns.empty()) return;
    }
    const auto fit = [&](int64_t ns) {
      int64_t total = 0;
      for (const Timing* timing : timings) {
        total += std::ranges::upper_bound(timing->ns, ns) - timing->ns.begin();
      }
      return total;
    };
    for (const Timing* timing : timings) high = std::max(high, timing->ns.back());
    // Not even without the end of the step among the best: no need to know how long that is.
    if (best_.size() >= num_kept_ && fit(best_.back().ns) < question_.samples) return;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (fit(middle) >= question_.samples) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    IslandShape island;
    for (size_t i = 0; i < timings.size(); ++i) {
      const auto samples = std::ranges::upper_bound(timings[i]->ns, high) - timings[i]->ns.begin();
      if (samples == 0) return;  // the set without it is offered too
      island.groups.push_back(timings[i]->options[timings[i]->option[samples - 1]]);
    }
    const int64_t end = end_of_step_ns(world_, island);
    if (end < 0) return;
    const auto place = std::ranges::upper_bound(best_, high + end, {}, &Set::ns);
    if (place == best_.end() && best_.size() >= num_kept_) return;
    best_.insert(place, {high + end, chosen});
    if (best_.size() > num_kept_) best_.pop_back();
  }

  IslandShape shape_of(const std::vector<int>& chosen) {
    std::vector<const Timing*> timings;
    int64_t low = 0, high = 0;
    for (int c : chosen) {
      timings.push_back(&timing_of(chains_[c], static_cast<int>(chosen.size())));
      high = std::max(high, timings.back()->ns.back());
    }
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      int64_t total = 0;
      for (const Timing* timing : timings) {
        total += std::ranges::upper_bound(timing->ns, middle) - timing->ns.begin();
      }
      if (total >= question_.samples) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    IslandShape island;
    for (const Timing* timing : timings) {
      const auto samples = std::ranges::upper_bound(timing->ns, high) - timing->ns.begin();
      if (samples == 0) continue;
      PipelineGroup group = timing->options[timing->option[samples - 1]];
      // So that sharing the samples out again ends where this search did.
      const int64_t estimated = PipelineClock(world_, group).time_ns(samples);
      group.slowness = static_cast<double>(timing->ns[samples - 1]) /
                       static_cast<double>(std::max<int64_t>(1, estimated));
      island.groups.push_back(group);
    }
    return island;
  }

  const Timing& timing_of(Chain& chain, int num_sharers) {
    std::optional<Timing>& timing = chain.timing[num_sharers];
    if (timing) return *timing;
    timing.emplace();
    list_options(chain, num_sharers, *timing);
    std::vector<PipelineClock> clocks;
    for (const PipelineGroup& group : timing->options) clocks.emplace_back(world_, group);
    for (int64_t samples = 1; samples <= question_.samples && !clocks.empty(); ++samples) {
      std::vector<std::pair<int64_t, int>> estimates;  // best first, so that others give up early
      for (size_t i = 0; i < clocks.size(); ++i) {
        estimates.emplace_back(clocks[i].time_ns(samples), static_cast<int>(i));
      }
      std::ranges::sort(estimates);
      const int64_t longest = longest_worth_playing(estimates.front().first);
      int best = 0;
      int64_t best_ns = INT64_MAX;
      for (auto [ns, i] : estimates) {
        if (is_exact_ && chain.stages.size() > 1) {
          if (ns > longest) break;
          ns = replay_ns(world_, timing->options[i], samples, num_sharers, best_ns);
        }
        if (ns >= best_ns) continue;
        best_ns = ns;
        best = i;
      }
      timing->ns.push_back(std::max(best_ns, timing->ns.empty() ? 0 : timing->ns.back()));
      timing->option.push_back(best);
    }
    return *timing;
  }

  // Those that no other beats in both fill and period.
  void list_options(const Chain& chain, int num_sharers, Timing& timing) {
    std::vector<int> holders;
    for (const StageShape& stage : chain.stages) {
      holders.push_back(stage.tensor_parallel * num_sharers);
    }
    const int num_flows = chain.stages.size() > 1 ? 2 : 1;
    for (int microbatch : world_.microbatches()) {
      if (microbatch > question_.samples && microbatch != world_.microbatches().front()) break;
      for (int flow = 0; flow < num_flows; ++flow) {
        PipelineGroup group;
        group.pipeline = {chain.stages, microbatch, flow == 0 ? Flow::k1f1b : Flow::kZeroBubble};
        if (num_flows > 1 && !world_.limits().allows(name_of(group.pipeline.flow))) continue;
        const int64_t num_microbatches = (question_.samples + microbatch - 1) / microbatch;
        const auto even = cut_evenly(world_, group.pipeline, num_microbatches, holders);
        if (!even) continue;
        group.pipeline = *even;
        add_option(group, timing);
        if (chain.stages.size() == 1) continue;
        if (is_exact_ && num_cuts(chain.stages.size()) <= kMostCuts) {
          add_all_cuts(group, 0, num_sharers, timing);
          continue;
        }
        int64_t slowest = 0;
        for (const StageShape& stage : even->stages) {
          slowest = std::max(slowest, stage_work_ns(world_, stage, microbatch));
        }
        for (int percent : {100, 104, 110, 120, 135, 160, 200, 300}) {
          const auto cut = cut_shortest(world_, group.pipeline, num_microbatches, holders,
                                        slowest * percent / 100);
          if (!cut) continue;
          group.pipeline = *cut;
          add_option(group, timing);
        }
      }
    }
  }

  int64_t num_cuts(size_t num_stages) const {
    const auto borders = static_cast<int64_t>(world_.num_layers()) - 1;
    int64_t count = 1;
    for (int64_t i = 1; i < static_cast<int64_t>(num_stages); ++i) {
      count = count * (borders - i + 1) / i;
      if (count > kMostCuts) break;
    }
    return count;
  }

  // Every place for the borders from stage `at` on.
  void add_all_cuts(PipelineGroup group, int at, int num_sharers, Timing& timing) const {
    std::vector<StageShape>& stages = group.pipeline.stages;
    const int num_stages = group.pipeline.num_stages();
    stages[at].first = at == 0 ? 0 : stages[at - 1].last;
    if (at + 1 == num_stages) {
      stages[at].last = world_.num_layers();
      group.samples = question_.samples;
      if (!settle_memory(world_, num_sharers, group)) return;
      group.samples = 0;
      add_option(group, timing);
      return;
    }
    for (int last = stages[at].first + 1; last + num_stages - at - 1 <= world_.num_layers();
         ++last) {
      stages[at].last = last;
      add_all_cuts(group, at + 1, num_sharers, timing);
    }
  }

  void add_option(const PipelineGroup& group, Timing& timing) const {
    const PipelineClock clock(world_, group);
    if (!clock.is_possible()) return;
    for (size_t i = 0; i < timing.options.size(); ++i) {
      const PipelineShape& other = timing.options[i].pipeline;
      if (other == group.pipeline) return;
      if (is_exact_ || other.microbatch != group.pipeline.microbatch) continue;
      const auto [alone_ns, fill_ns, period_ns] = timing.figures[i];
      if (alone_ns <= clock.alone_ns() && fill_ns <= clock.fill_ns() &&
          period_ns <= clock.period_ns()) {
        return;
      }
    }
    timing.options.push_back(group);
    timing.figures.push_back({clock.alone_ns(), clock.fill_ns(), clock.period_ns()});
  }

  const World& world_;
  const IslandQuestion& question_;
  Supply supply_;
  int num_devices_ = 0;
  size_t num_kept_ = 0;
  bool is_exact_ = false;
  std::vector<Chain> chains_;
  std::vector<Set> best_;
};

}  // namespace

bool is_small(const World& world, const IslandQuestion& question) {
  int num_devices = 0;
  for (int pool : question.pools) num_devices += world.pool(pool).num_devices();
  return num_devices <= kMostDevices && question.samples <= kMostSamples;
}

std::vector<IslandShape> search_small(const World& world, const IslandQuestion& question) {
  return SmallSearch(world, question).run();
}

}  // namespace skarv
