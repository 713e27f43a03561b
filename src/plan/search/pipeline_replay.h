// How long one pipeline takes, by playing the order that its rule makes: what PipelineClock only
// estimates. Some ten microseconds for a few stages.
#pragma once

#include <cstdint>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// Every microbatch counts as a whole one, less what the smaller last one saves in the slowest
// stage. Memory limits the order as it will in a run; `num_pipelines` of the island share the
// optimizer state. At least `give_up_ns` when no order can be faster than that, without trying one;
// INT64_MAX: impossible.
int64_t replay_ns(const World& world, const PipelineGroup& group, int64_t samples,
                  int num_pipelines, int64_t give_up_ns);

}  // namespace skarv
