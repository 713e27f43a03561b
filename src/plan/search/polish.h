// Small changes to a shape that is good already, kept when they help.
#pragma once

#include "plan/search/supply.h"

namespace skarv {

// Tries, until nothing helps any more or `most_trials` shapes are priced: another microbatch, flow
// or placement, a layer moved over a border, the cut with the least work for a slower bound, two
// neighbours swapped, a stage or a group left out, a free device added as a stage.
void polish(const World& world, const Supply& whole, int64_t samples, int most_trials,
            IslandShape& island);

}  // namespace skarv
