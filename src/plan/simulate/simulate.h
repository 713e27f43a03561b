// The step simulator: plays the very action lists that workers execute, event by event, in integer
// nanoseconds. The same input gives the same answer to the nanosecond, on every machine.
//
// A rank does one action after the other. A send hands its message to the rank's send lane, which
// takes one message at a time in their order; receives have a lane for each message. A message
// moves at a max-min fair share of the wires on its way (routes.h, flow_pool.h), then waits out the
// link's latency. Reduce, clip and gather begin when the last member is there and take what
// group_cost.h says; they do not share wires with messages.
// Not modelled: collectives inside a tensor-parallel group (they are part of the layers' times).
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plan/simulate/program.h"

namespace skarv {

struct ActionSpan {
  int64_t begin = 0, end = 0;  // ns from the start of the step; waiting lies inside
};

struct Completed {
  int rank, index;  // actions[rank][index]
  bool operator==(const Completed&) const = default;
};

// Where the step of a rank went; the parts add up to the step.
struct RankUse {
  int64_t start_up_ns = 0;
  int64_t compute_ns = 0;
  int64_t bubble_ns = 0;      // waiting for others to compute
  int64_t exposed_ns = 0;     // waiting for bytes under way at borders of stages
  int64_t collective_ns = 0;  // reduce, clip and gather once all are there
  int64_t done_ns = 0;        // after its last action
  int awaited = -1;           // the rank that it waited for longest, and how long
  int64_t awaited_ns = 0;
};

struct WireFigures {
  Wire wire;
  int64_t bytes = 0;  // on one of num_like_it
  double utilisation(int64_t step_ns) const;
};

struct StepTrace {
  int64_t step_ns = 0;
  int64_t num_actions = 0;
  std::vector<std::vector<ActionSpan>> spans;  // as Schedule::actions; if kept
  // By rank, as its sends follow each other; if spans are kept: from the moment a message has the
  // send lane to itself until it is there, with latency and copies.
  std::vector<std::vector<ActionSpan>> transfers;
  std::vector<int64_t> busy_ns;                       // computing, by rank
  std::vector<RankUse> use;                           // by rank
  std::map<std::pair<int, int>, int64_t> link_bytes;  // from, to: messages at borders of stages
  std::vector<WireFigures> wires;
};
// All actions by end, then rank. REQUIRES: spans were kept.
std::vector<Completed> completion_order(const StepTrace& trace);

// For schedules of an island of which nothing is folded, from anywhere. Error: check_schedule's (a
// deadlock names the two actions that wait for each other), a missing link.
Result<StepTrace> simulate(const Schedule& schedule, const Island& island,
                           const Ownership& ownership, const IslandCost& cost,
                           const Cluster& cluster, const DeviceIndex& devices, const Profile& links,
                           const StepSettings& settings = {});

// Plays without checking; ends with kFailedPrecondition when ranks wait for each other for ever,
// and with kDeadlineExceeded when the step takes give_up_ns or longer: often long before its end,
// since every rank's own work that is left is known.
Result<StepTrace> play(const Program& program, const std::vector<Wire>& wires,
                       const StepSettings& settings);

}  // namespace skarv
