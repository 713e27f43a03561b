#include "plan/schedule/zero_bubble.h"

#include <algorithm>
#include <iterator>

#include "plan/schedule/improve.h"
#include "plan/schedule/tune.h"
#include "plan/schedule/warm_up.h"

namespace skarv {
namespace {

struct Recipe {
  WarmUp warm_up;
  bool forward_first;
  int weight_gap;
  bool is_fused = false;
};

// Chosen from 392 by greedy cover of 300 random pipelines (docs/schedules.md): each of the first
// was worth most beside those before it.
constexpr Recipe kRecipes[] = {
    {{0, 1000, 0}, true, 300},
    {{250, 1150, 0}, true, 600},
    {{0, 1060, 0}, false, 0},
    {{500, 1060, 0}, true, 300},
    {{.is_classical = true}, true, 1000},
    {{.is_classical = true}, false, 0, true},
    {{.is_classical = true}, false, 0},
    {{250, 1060, 0}, true, 0},
    {{0, 1000, 0}, true, 600},
    {{0, 1060, 0}, false, 600},
    // From here on only when there is time.
    {{250, 1150, 0}, false, 300},
    {{1000, 1150, 1}, true, 1000},
    {{0, 1150, 0}, true, 0},
    {{0, 1000, 0}, true, 0},
    {{500, 1150, 1}, true, 300},
    {{1000, 1000, 1}, false, 600},
    {{250, 1150, 1}, true, 300},
    {{0, 1000, 2}, false, 1000},
    {{.extra = 1, .is_classical = true}, false, 1000},
    {{0, 1000, 0}, false, 300},
};
constexpr size_t kNumQuick = 10;

}  // namespace

WorkOrder order_zero_bubble(const PipelineTimes& times, const OrderOptions& options) {
  Player player(times);
  const Bounds bounds = bounds_of(times);
  Ruled best;
  for (size_t i = 0; i < std::size(kRecipes); ++i) {
    if (i >= kNumQuick && player.num_played() >= options.max_pieces) break;
    const Recipe& recipe = kRecipes[i];
    GreedyRule rule;
    rule.depth = depths_of(recipe.warm_up, times);
    rule.forward_first = recipe.forward_first;
    rule.weight_gap = recipe.weight_gap;
    rule.is_fused = recipe.is_fused;
    Ruled next = follow(std::move(rule), player);
    if (is_better(next.played, best.played, options.objective)) best = std::move(next);
    if (bounds.are_met_by(best.played)) return best.order;
  }
  const int64_t left = options.max_pieces - player.num_played();
  if (left <= 0) return best.order;
  best = tune(std::move(best), player, options.objective, left / 4, options.seed);
  return improve(std::move(best.order), times, {options.objective, left - left / 4, options.seed});
}

}  // namespace skarv
