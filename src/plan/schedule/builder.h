// From a plan's island to the action lists of its ranks.
#pragma once

#include "plan/schedule/order.h"
#include "spec/ownership.h"
#include "spec/run.h"
#include "spec/schedule.h"
#include "spec/stage_map.h"

namespace skarv {

// What messages carry.
struct Payloads {
  Precision precision = Precision::kFp32;  // of weights
  std::vector<int64_t> output_bytes;       // activation at the end of each layer, one sample
};
Payloads payloads_of(const Run& run);

// Every pipeline by the rule that it names (plan/schedule/order.h); messages at the borders of
// stages; at the end reduce, clip, update, gather for every group in one order that all ranks
// share. `times`, by pipeline, are what the orders are made for (plan/schedule/island_times.h);
// without them every piece of work counts alike and memory is that of ZB-H1. Pipelines with equal
// times are ordered once, each kind with the whole effort. The same input gives the same schedule
// on every machine. Error: an unknown rule, or memory too small for one microbatch, with the
// pipeline's place. REQUIRES: check_plan passed.
Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Payloads& payloads,
                                const std::vector<PipelineTimes>& times = {},
                                const OrderOptions& options = {});
Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Run& run,
                                const std::vector<PipelineTimes>& times = {},
                                const OrderOptions& options = {});

// Whether that is so of one of its pipelines (zero_bubble.h).
bool tries_first_orders_alone(const Island& island, int64_t max_pieces);

// Stages that share a device share a worker, also where their groups overlap only in part. Workers
// count from 0 in order of stages.
std::vector<int> workers_of_stages(const StageMap& map, int pipeline);

}  // namespace skarv
