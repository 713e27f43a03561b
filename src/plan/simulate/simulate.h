// The dry executor: runs the very action lists that workers run, in integer nanoseconds.
//
// A rank does one action after the other. Sends go to a lane of their own for each pair of ranks
// and direction, one message at a time, and do not hold the rank up; a receive ends when its
// message has arrived. Reduce, clip and gather begin when the last member is there. Deterministic.
// Not modelled: flows that share a wire, jitter, copies between device and host.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "plan/cost/island_cost.h"
#include "spec/schedule.h"

namespace skarv {

struct ActionSpan {
  int64_t begin = 0, end = 0;  // ns from the start of the step; waiting lies inside
};

struct Completed {
  int rank, index;  // actions[rank][index]
  bool operator==(const Completed&) const = default;
};

struct StepTrace {
  int64_t step_ns = 0;
  std::vector<std::vector<ActionSpan>> spans;         // as Schedule::actions
  std::vector<int64_t> busy_ns;                       // computing, by rank; the rest is idle
  std::vector<Completed> order;                       // by end, then rank
  std::map<std::pair<int, int>, int64_t> link_bytes;  // from, to: messages at borders of stages
};

// Error: check_schedule's.
Result<StepTrace> simulate(const Schedule& schedule, const Island& island,
                           const Ownership& ownership, const IslandCost& cost);

}  // namespace skarv
