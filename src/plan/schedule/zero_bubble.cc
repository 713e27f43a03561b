#include "plan/schedule/zero_bubble.h"

#include <algorithm>
#include <iterator>

#include "plan/schedule/improve.h"
#include "plan/schedule/order_cache.h"
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

// Chosen from 424 by greedy cover of 400 random pipelines, times of 1 : 0.4 : 0.25 among them
// (docs/schedules.md): each is worth most beside those before it. At the head stand those that are
// good for long pipelines, and the plain ones that nobody should be worse than.
constexpr Recipe kRecipes[] = {
    {{0, 1000, 0}, true, 300},
    {{0, 1000, -1}, true, 0},
    {{0, 1150, -1}, true, 0},
    {{0, 1000, 0}, true, 0},
    {{.is_classical = true}, false, 0, true},
    {{.is_classical = true}, false, 0},
    // Where each takes no longer than a moment.
    {{0, 1000, -1}, true, 600},
    {{.extra = 1, .is_classical = true}, false, 1000},
    {{0, 1000, -1}, true, 300},
    {{0, 1060, 0}, false, 600},
    {{1000, 1000, -1}, false, 1000},
    {{500, 1060, 0}, true, 300},
    {{0, 1060, 1}, false, 0},
    // From here on only when there is time.
    {{0, 1060, -1}, true, 0},
    {{.is_classical = true}, true, 1000},
    {{250, 1000, 0}, true, 300},
    {{250, 1060, 2}, false, 300},
    {{1000, 1000, 1}, false, 1000},
    {{500, 1150, 1}, true, 600},
    {{0, 1060, 0}, true, 0},
    {{1000, 1060, 1}, false, 600},
    {{0, 1150, -1}, false, 300},
    {{250, 1150, -1}, false, 300},
    {{250, 1150, -1}, true, 0},
};
constexpr size_t kNumFirst = 6, kNumQuick = 13;
constexpr int64_t kMoment = 1'000'000;  // pieces of work
// The second of the first orders: no other one was seen in time where this one was late.
constexpr const Recipe& kTelling = kRecipes[1];

GreedyRule rule_of(const Recipe& recipe, const PipelineTimes& times) {
  GreedyRule rule;
  rule.depth = depths_of(recipe.warm_up, times);
  rule.forward_first = recipe.forward_first;
  rule.weight_gap = recipe.weight_gap;
  rule.is_fused = recipe.is_fused;
  return rule;
}

}  // namespace

bool tries_first_orders_alone(int64_t num_stages, int64_t num_microbatches, int64_t max_pieces) {
  const int64_t pieces = 3 * num_stages * num_microbatches;
  return static_cast<int64_t>(kNumFirst) * pieces >= std::max(kMoment, max_pieces);
}

WorkOrder order_zero_bubble(const PipelineTimes& times, const OrderOptions& options) {
  Player player(times);
  Bounds bounds(times);
  const auto count = [&](int64_t num_moved) {
    if (options.known == nullptr) return;
    options.known->count(kCostOfOrdered * player.num_played() + kCostOfMoved * num_moved);
  };
  int64_t give_up_ns = options.give_up_ns;
  if (give_up_ns > 0 &&
      tries_first_orders_alone(times.num_stages(), times.num_microbatches, options.max_pieces)) {
    if (order_greedily(times, rule_of(kTelling, times), give_up_ns).empty()) return {};
    give_up_ns = 0;  // made as it will be for a run, so that it need not be made again
  }
  Ruled best;
  for (size_t i = 0; i < std::size(kRecipes); ++i) {
    const int64_t most = i < kNumQuick ? std::max(kMoment, options.max_pieces) : options.max_pieces;
    if (i >= kNumFirst && (player.num_played() >= most || options.max_pieces < 0)) break;
    Ruled next = follow(rule_of(kRecipes[i], times), player, give_up_ns);
    if (is_better(next.played, best.played, options.objective)) best = std::move(next);
    if (bounds.are_met_by(best.played)) break;
  }
  const int64_t left = options.max_pieces - player.num_played();
  if (left <= 0 || bounds.are_met_by(best.played)) {
    count(0);
    return best.order;
  }
  best = tune(std::move(best), player, options.objective, left / 4, options.seed);
  count(left - left / 4);
  return improve(std::move(best.order), times, {options.objective, left - left / 4, options.seed});
}

}  // namespace skarv
