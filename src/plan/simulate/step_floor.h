// What a step takes at the least, before anybody has ordered or played it: a bound that the
// simulator never falls below, so that plans which cannot win are dismissed for a hundredth of what
// playing them costs. Pure, any thread.
//
// Of a pipeline: the way of the first microbatch to every stage, all work of a rank, the way of the
// last gradient back, and the longest path through its messages (schedule/goal.h), with messages
// that have their wires to themselves. Then reduce, clip, update and gather as they meet in the
// lists. Where the members of a stage differ, its fastest counts. It needs microbatches in turn, as
// every order rule has them; jitter and stragglers are not looked at.
#pragma once

#include <string>
#include <unordered_map>

#include "plan/schedule/pipeline_times.h"
#include "plan/simulate/program.h"

namespace skarv {

// Until when devices work before they reduce, where that is known.
using WorkEnds = std::unordered_map<std::string, int64_t>;

struct FloorQuery {
  const IslandCost& cost;
  const Ownership& ownership;  // groups of the folded island; slabs are not looked at
  const Workload& workload;
  const StartUp& start_up;
  // Pipelines whose devices are all here are not looked at: what was played is taken for the least.
  const WorkEnds* ends = nullptr;
};
// `limits`, by pipeline of the folded island, are those that its orders are made under
// (schedule/island_times.h): of them only memory counts; empty: memory holds nobody back. Error: a
// missing link, an unknown schedule.
Result<int64_t> step_floor(const FloorQuery& query, Routes& routes,
                           const std::vector<PipelineTimes>& limits = {});
// The part of it before gradients are clipped, reducing them left out: it asks for no owners, and
// an island takes no less than any of its pipelines does alone.
Result<int64_t> work_floor(const FloorQuery& query, Routes& routes);
// What follows at the least when the last of all work is done.
int64_t end_floor(const FloorQuery& query, Routes& routes);

}  // namespace skarv
