// From the shape that was chosen to devices with names.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "plan/search/supply.h"
#include "spec/plan.h"

namespace skarv {

struct Assembled {
  Island island;
  std::map<std::string, double> owner_share;  // where it is not 1
  std::set<std::string> used;
};

// Deals out the devices of each pool host by host, in the order that PipelineGroup::is_compact
// says; a tensor-parallel group lies within a host. Optimizer shares follow the speed of updating
// where unequal chips hold the same layers. Nullopt when the hosts are too broken up for its
// groups.
std::optional<Assembled> assemble(const World& world, const IslandShape& island,
                                  const std::string& name);

}  // namespace skarv
