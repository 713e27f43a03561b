// The greedy orders of plan/schedule/greedy.h from a plain queue of events, every message one of
// them: what the quicker way is held to.
#pragma once

#include "plan/schedule/greedy.h"

namespace skarv {

WorkOrder order_plainly(const PipelineTimes& times, const GreedyRule& rule, int64_t give_up_ns = 0);

}  // namespace skarv
