#include <algorithm>
#include <span>

#include "plan/search/changes.h"
#include "plan/search/edits.h"

namespace skarv {
namespace {

// To those islands, and others as they are in the plan.
bool apply(const Trials& trials, std::span<const SampleMove> moves,
           std::map<size_t, Island>& changed) {
  const auto pipeline_at = [&](size_t island, size_t pipeline) -> Pipeline& {
    const auto known = changed.emplace(island, trials.islands()[island]).first;
    return known->second.pipelines[pipeline];
  };
  return std::ranges::all_of(moves, [&](const SampleMove& move) {
    return move_samples(move.samples, pipeline_at(move.from_island, move.from),
                        pipeline_at(move.to_island, move.to));
  });
}

// With a microbatch more.
bool ends_earlier(Trials& trials, size_t island, size_t p, size_t other, size_t q) {
  const std::vector<PipelineUse>*mine = trials.use_of(island), *others = trials.use_of(other);
  if (mine == nullptr || others == nullptr) return false;
  const PipelineUse &taker = (*mine)[p], &giver = (*others)[q];
  return taker.end_ns + microbatch_ns(trials.pipelines(island)[p], taker) +
             tail_ns(trials.island_ns()[island], *mine) <
         giver.end_ns + tail_ns(trials.island_ns()[other], *others);
}

}  // namespace

bool share_anew(Trials& trials) {
  bool is_better = false;
  while (trials.has_time()) {
    std::vector<UsedIsland> islands;
    for (size_t i = 0; i < trials.island_ns().size(); ++i) {
      const std::vector<PipelineUse>* use = trials.use_of(i);
      if (use == nullptr) return is_better;
      islands.push_back({&trials.islands()[i], use, tail_ns(trials.island_ns()[i], *use)});
    }
    const std::vector<SampleMove> moves = even_out(islands);
    size_t count = moves.size();
    for (; count > 0; count /= 2) {
      std::map<size_t, Island> changed;
      if (apply(trials, std::span(moves).first(count), changed) &&
          trials.take(trials.slowest(), std::move(changed))) {
        break;
      }
    }
    if (count == 0) return is_better;
    is_better = true;
  }
  return is_better;
}

bool move_samples_from(Trials& trials, size_t island, size_t from, int times_larger,
                       bool to_early) {
  bool is_better = false;
  for (size_t other = 0; other < trials.islands().size(); ++other) {
    for (size_t to : trials.kinds_of(other)) {
      if (other == island && from == to) continue;
      if (to_early && !ends_earlier(trials, other, to, island, from)) continue;
      for (int64_t moved : {1, 2, 3}) {
        is_better |= trials.attempt(island, other, [&](Island& first, Island& second) {
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

bool leave_out_any(Trials& trials, size_t island) {
  const std::vector<size_t> kinds = trials.kinds_of(island);
  for (size_t p : kinds) {
    for (size_t taker : kinds) {
      const bool is_better = trials.attempt(
          island, island, [&](Island& trial, Island&) { return leave_out(p, taker, trial); });
      if (is_better) return true;
    }
  }
  return false;
}

}  // namespace skarv
