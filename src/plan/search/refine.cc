#include "plan/search/refine.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "plan/search/changes.h"
#include "plan/search/edit_draw.h"

namespace skarv {
namespace {

constexpr int64_t kDrawActions = 20;  // what a draw costs beside its trial

class Refiner {
 public:
  Refiner(const Pricer& pricer, const PlannerLimits& limits, const RefineEffort& effort,
          Tried& tried, PricedPlan& plan)
      : limits_(limits),
        is_by_island_(effort.by_island),
        trials_(pricer, limits, effort.most_actions,
                effort.most_in_vain > 0 ? effort.most_in_vain : effort.most_actions, tried, plan),
        draws_(trials_.devices(), limits) {}

  Result<int64_t> run(bool draws) {
    while (trials_.has_time() && (share_anew(trials_) || improve_any() || (draws && draw()))) {
    }
    SKARV_TRY(trials_.broken());
    return std::ranges::max(trials_.island_ns());
  }

 private:
  // The slowest island; if nothing helps, the next ones, which may take samples off it then.
  bool improve_any() {
    const std::vector<int64_t>& ns = trials_.island_ns();
    std::vector<size_t> order(ns.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, std::greater<>(), [&](size_t island) { return ns[island]; });
    if (is_by_island_) {
      return std::ranges::any_of(order, [&](size_t island) {
        return improve(island) || swap_devices(trials_, island) ||
               move_layers_far(trials_, island) || move_two_borders(trials_, island);
      });
    }
    // What takes long to look at comes when nothing else helps in any of them.
    const auto helps = [&](auto change) { return std::ranges::any_of(order, change); };
    return helps([&](size_t island) { return improve(island); }) ||
           helps([&](size_t island) { return move_layers_far(trials_, island); }) ||
           helps([&](size_t island) { return move_two_borders(trials_, island); }) ||
           helps([&](size_t island) { return swap_devices(trials_, island); });
  }

  bool improve(size_t island) {
    bool is_better = deal_devices_anew(trials_, island);
    is_better |= change_all(trials_, limits_, island);
    is_better |= interleave_any(trials_, limits_, island);
    for (size_t p : trials_.kinds_of(island)) {
      is_better |= change_schedule(trials_, limits_, island, p);
      is_better |= relieve_stages(trials_, island, p);
      is_better |= move_layers(trials_, island, p, {0});
    }
    for (size_t p : trials_.kinds_of(island)) {
      is_better |= move_samples_from(trials_, island, p, 1, true);
    }
    if (is_better) return true;
    for (size_t p : trials_.kinds_of(island)) {
      is_better |= move_samples_from(trials_, island, p, 1, false);
      is_better |= move_samples_from(trials_, island, p, 2, false);
    }
    for (size_t p : trials_.kinds_of(island)) {
      is_better |= toggle_recompute_in(trials_, island, p);
      is_better |= move_layers(trials_, island, p, {1, 2, 3});
    }
    return is_better || leave_out_any(trials_, island);
  }

  bool draw() {
    while (trials_.has_time()) {
      trials_.count(kDrawActions);
      const size_t slowest = trials_.slowest();
      std::map<size_t, Island> changed = draws_.next(trials_.islands(), slowest);
      if (!changed.empty() && trials_.take(slowest, std::move(changed))) return true;
    }
    return false;
  }

  const PlannerLimits& limits_;
  const bool is_by_island_;
  Trials trials_;
  EditDraw draws_;
};

}  // namespace

Result<int64_t> refine(const Pricer& pricer, const PlannerLimits& limits,
                       const RefineEffort& effort, Tried& tried, PricedPlan& plan) {
  return Refiner(pricer, limits, effort, tried, plan).run(effort.draws);
}

}  // namespace skarv
