// How long one pipeline takes, by playing the order that its rule makes: what PipelineClock only
// estimates. Some ten microseconds for a few stages.
#pragma once

#include <cstdint>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// Every microbatch counts as a whole one, less what the smaller last one saves in the slowest
// stage. Memory limits the order as it will in a run; `num_pipelines` of the island share the
// optimizer state. INT64_MAX: impossible.
int64_t replay_ns(const World& world, const PipelineGroup& group, int64_t samples,
                  int num_pipelines);

}  // namespace skarv
