// Which islands are one and the same to the simulator: they differ in names of equal devices and in
// the order of their pipelines alone, so one of them is played for all.
#pragma once

#include "plan/simulate/island_step.h"

namespace skarv {

// Equal for two such islands of one world, by the same colouring that plan/cost/fold.h folds by:
// pipelines and hosts are coloured in turn, with hashes of what they are, until no colour splits.
// `slabs`: what owners hold, if it is not in proportion to shares; devices that own differently are
// different. With shares, times are equal up to how the last elements are shared out (1 ns).
uint64_t likeness_of(const Island& island, const std::map<std::string, double>& owner_share,
                     const std::vector<GroupLoad>* slabs, const StepWorld& world);

}  // namespace skarv
