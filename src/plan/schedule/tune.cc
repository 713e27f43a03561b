#include "plan/schedule/tune.h"

#include <algorithm>

#include "base/random.h"

namespace skarv {
namespace {

// Making an order costs about this many times what playing it does.
constexpr int64_t kCost = 4;

}  // namespace

Ruled follow(GreedyRule rule, Player& player, int64_t give_up_ns) {
  Ruled result{std::move(rule), {}, {}};
  result.order = order_greedily(player.times(), result.rule, give_up_ns);
  if (result.order.empty()) return result;
  result.played = player.play(result.order);
  return result;
}

Ruled tune(Ruled start, Player& player, Objective objective, int64_t max_pieces, uint64_t seed) {
  const PipelineTimes& times = player.times();
  Bounds bounds(times);
  const CounterRandom random(seed, "tune");
  uint64_t num_draws = 0;
  const auto below = [&](uint64_t bound) {
    return static_cast<int>(random.below(num_draws++, bound));
  };
  Ruled best = std::move(start);
  const int64_t before = player.num_played();
  while (kCost * (player.num_played() - before) < max_pieces && !bounds.are_met_by(best.played)) {
    GreedyRule rule = best.rule;
    const int change = below(8);
    if (change == 0) {
      rule.weight_gap = 100 * below(13);
    } else if (change == 1) {
      rule.forward_first = !rule.forward_first;
    } else {
      const int first = below(times.num_stages());
      const int last = change < 5 ? first : first + below(times.num_stages() - first);
      const int step = below(2) == 0 ? 1 : -1;
      for (int s = first; s <= last; ++s) {
        rule.depth[s] = std::clamp(rule.depth[s] + step, 1, times.num_microbatches);
      }
    }
    Ruled next = follow(std::move(rule), player);
    if (!is_better(best.played, next.played, objective)) best = std::move(next);
  }
  return best;
}

}  // namespace skarv
