// The best order there is, by trying every one; for the smallest pipelines.
#pragma once

#include "plan/schedule/goal.h"

namespace skarv {

// Least makespan (or longest stage) of all orders in which every stage takes its microbatches in
// turn, within memory, if it is below `limit`; else `limit`. Each worker has one stage.
int64_t best_of_every_order(const PipelineTimes& times, Objective objective, int64_t limit);

}  // namespace skarv
