#include "plan/search/finalists.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace skarv {

std::string island_name(const World& world, const IslandChoice& choice) {
  std::vector<std::string> names;
  for (int site : choice.sites) names.push_back(world.sites()[site].name);
  std::ranges::sort(names);
  return join(names, "+");
}

Result<Finals::Judged> Finals::judge(const IslandShape& shape, const std::string& name) {
  std::optional<Assembled> assembled = skarv::assemble(world_, shape, name);
  if (!assembled) {
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  "the hosts are too broken up for this shape");
  }
  Judged judged{std::move(*assembled), 0, 0, ""};
  Plan plan;
  plan.owner_share = judged.assembled.owner_share;
  SKARV_ASSIGN(const IslandPrice price, price_island(judged.assembled.island, plan, market_));
  judged.step_ns = price.trace.step_ns;
  if (const int rank = price.fullest_overflow(); rank >= 0) {
    judged.overflow_bytes = price.memory[rank].total() - price.memory[rank].limit;
    judged.fullest = price.ownership.devices[rank];
  }
  return judged;
}

Result<Finalist> Finals::judge(const WholeShape& whole, int num_shapes) {
  Finalist finalist;
  finalist.shape.left_out = whole.left_out;
  finalist.plan.model = digest_of(market_.run.model);
  for (const IslandChoice& choice : whole.islands) {
    const std::string name = island_name(world_, choice);
    std::optional<Judged> best;
    const IslandShape* chosen = nullptr;
    Status failed;
    int num_judged = 0;
    for (const IslandShape& shape : choice.shapes) {
      if (best && num_judged >= num_shapes) break;
      Result<Judged> judged = judge(shape, name);
      if (!judged.ok()) {
        failed = judged.status();
        continue;
      }
      ++num_judged;
      if (best && std::pair(best->overflow_bytes, best->step_ns) <=
                      std::pair(judged->overflow_bytes, judged->step_ns)) {
        continue;
      }
      best = std::move(*judged);
      chosen = &shape;
    }
    if (!best) return failed;
    finalist.step_ns = std::max(finalist.step_ns, best->step_ns);
    if (best->overflow_bytes > finalist.overflow_bytes) {
      finalist.overflow_bytes = best->overflow_bytes;
      finalist.fullest = best->fullest;
    }
    finalist.plan.islands.push_back(std::move(best->assembled.island));
    finalist.plan.owner_share.insert(best->assembled.owner_share.begin(),
                                     best->assembled.owner_share.end());
    finalist.shape.islands.push_back({choice.sites, choice.samples, {*chosen}});
  }
  return finalist;
}

}  // namespace skarv
