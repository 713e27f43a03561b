#include "plan/outer/worth.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace skarv {
namespace {

constexpr size_t kMostIslandsOfAnyPart = 10;  // 1,022 parts
constexpr double kWorthTelling = 1.001;

// The islands of the part, each with its share of all samples at its own speed.
std::vector<OuterIsland> part_of(const std::vector<OuterIsland>& islands,
                                 const std::vector<bool>& is_left_out) {
  double all = 0, kept = 0;
  for (size_t i = 0; i < islands.size(); ++i) {
    all += static_cast<double>(islands[i].samples);
    if (!is_left_out[i]) kept += static_cast<double>(islands[i].samples);
  }
  std::vector<OuterIsland> part;
  for (size_t i = 0; i < islands.size(); ++i) {
    if (is_left_out[i]) continue;
    OuterIsland& island = part.emplace_back(islands[i]);
    island.step_ns = std::llround(static_cast<double>(island.step_ns) * all / kept);
    island.samples = std::llround(static_cast<double>(island.samples) * all / kept);
  }
  return part;
}

std::vector<std::vector<bool>> parts_to_leave_out(size_t num_islands) {
  std::vector<std::vector<bool>> parts;
  if (num_islands > kMostIslandsOfAnyPart) {
    for (size_t i = 0; i < num_islands; ++i) {
      parts.emplace_back(num_islands, false)[i] = true;
    }
    return parts;
  }
  for (size_t bits = 1; bits + 1 < size_t{1} << num_islands; ++bits) {
    std::vector<bool>& part = parts.emplace_back(num_islands, false);
    for (size_t i = 0; i < num_islands; ++i) part[i] = (bits >> i & 1) != 0;
  }
  return parts;
}

}  // namespace

Result<double> speed_with_rounds(const std::vector<OuterIsland>& islands,
                                 const OuterSetting& setting) {
  SKARV_ASSIGN(const OuterRound round, price_round(islands, setting));
  return 1e9 * static_cast<double>(round.steps) / static_cast<double>(round.period_ns());
}

Result<std::vector<FewerIslands>> faster_without(const std::vector<OuterIsland>& islands,
                                                 const OuterSetting& setting, int min_islands) {
  std::vector<FewerIslands> faster;
  if (islands.size() < 2) return faster;
  SKARV_ASSIGN(const OuterRound all, price_round(islands, setting));
  if (all.exposed_ns == 0) return faster;  // nobody waits for anybody's link
  const double speed = 1e9 * static_cast<double>(all.steps) / static_cast<double>(all.period_ns());
  for (const std::vector<bool>& is_left_out : parts_to_leave_out(islands.size())) {
    FewerIslands fewer;
    for (size_t i = 0; i < islands.size(); ++i) {
      if (is_left_out[i]) fewer.left_out.push_back(i);
    }
    if (std::ssize(islands) - std::ssize(fewer.left_out) < min_islands) continue;
    SKARV_ASSIGN(fewer.speed, speed_with_rounds(part_of(islands, is_left_out), setting));
    if (fewer.speed > speed * kWorthTelling) faster.push_back(std::move(fewer));
  }
  std::ranges::stable_sort(faster, std::greater(), &FewerIslands::speed);
  return faster;
}

}  // namespace skarv
