// From a plan's island to the action lists of its ranks.
#pragma once

#include "spec/ownership.h"
#include "spec/run.h"
#include "spec/schedule.h"

namespace skarv {

// Every pipeline by the rule that it names (plan/schedule/order.h); messages at the borders of
// stages; at the end reduce, clip, update, gather for every group in one order that all ranks
// share. Error: an unknown rule, with the pipeline's place. REQUIRES: check_plan passed.
Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Run& run);

}  // namespace skarv
