// Orders with the backward in two parts, for stages as unequal as they are.
#pragma once

#include "plan/schedule/goal.h"

namespace skarv {

// Effort for a schedule that will be run, and so for all that predicts one: a millisecond for each
// pipeline that differs from the others. Of up to six stages and eight microbatches more finds next
// to nothing, of dozens 0.05 % (docs/schedules.md).
constexpr int64_t kRunEffort = 100'000;

// For those who compare neighbours: less than the quick way, of long pipelines half of it.
constexpr int64_t kProbeEffort = -1;

class OrderCache;

struct OrderOptions {
  Objective objective = Objective::kMakespan;
  // Effort: pieces of work to play in search of a better order. 0: the quick way, the best of a few
  // greedy orders; kProbeEffort: of the first of these. About 10 ns each.
  int64_t max_pieces = kRunEffort;
  uint64_t seed = 1;
  // Above 0, with kProbeEffort: no order that takes as long as this or longer is wanted
  // (kDeadlineExceeded).
  int64_t give_up_ns = 0;
  OrderCache* known = nullptr;  // order_cache.h; outlives it. Null: nothing is remembered
};

// Whether the first orders take all that effort: nothing else is tried then, whatever is asked for,
// and what is known of one effort is known of the other.
bool tries_first_orders_alone(int64_t num_stages, int64_t num_microbatches, int64_t max_pieces);

// The best order found: of some greedy ones, 1F1B with its backwards cut in two among them, then of
// a local search around it. Within memory always; empty if given up. REQUIRES: check_pipeline_times
// passed.
WorkOrder order_zero_bubble(const PipelineTimes& times, const OrderOptions& options);

}  // namespace skarv
