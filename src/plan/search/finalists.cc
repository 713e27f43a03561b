#include "plan/search/finalists.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace skarv {
namespace {

bool is_better(int64_t overflow, int64_t ns, int64_t other_overflow, int64_t other_ns) {
  return std::pair(overflow, ns) < std::pair(other_overflow, other_ns);
}

}  // namespace

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
  Judged by_speed{std::move(*assembled), 0, 0, ""};
  SKARV_TRY(price(by_speed));
  if (by_speed.assembled.owner_share.empty()) return by_speed;
  Judged even = by_speed;
  even.assembled.owner_share.clear();
  SKARV_TRY(price(even));
  return is_better(even.overflow_bytes, even.step_ns, by_speed.overflow_bytes, by_speed.step_ns)
             ? even
             : by_speed;
}

Status Finals::price(Judged& judged) {
  SKARV_ASSIGN(const IslandStep step,
               simulate_island(judged.assembled.island, judged.assembled.owner_share, step_world_));
  judged.step_ns = step.trace.step_ns;
  judged.overflow_bytes = 0;
  if (const int rank = step.fullest_overflow(); rank >= 0) {
    judged.overflow_bytes = step.memory[rank].total() - step.memory[rank].limit;
    judged.fullest = step.schedule.devices[rank];
  }
  return {};
}

Result<Finalist> Finals::judge(const WholeShape& whole, int num_shapes) {
  Finalist finalist;
  finalist.shape.left_out = whole.left_out;
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
      if (best && !is_better(judged->overflow_bytes, judged->step_ns, best->overflow_bytes,
                             best->step_ns)) {
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
