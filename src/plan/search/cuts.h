// Where a pipeline is cut: contiguous layers for stages of unequal speed and memory.
#pragma once

#include <optional>
#include <vector>

#include "plan/search/shape.h"
#include "plan/search/stage_memory.h"

namespace skarv {

// Layers and recomputation for `pipeline` (whose stages say pool and tensor parallelism) so that
// its slowest stage is as fast as memory allows: the smallest bound is searched for which stages
// that take as many layers as they can, in order, reach the end. A stage recomputes only where it
// does not fit without. Nothing fits: nullopt. `num_holders` by stage.
std::optional<PipelineShape> cut_evenly(const World& world, PipelineShape pipeline,
                                        int64_t num_microbatches,
                                        const std::vector<int>& num_holders);

// Of all cuts whose slowest stage stays within `bound_ns`, the one with the least work from end to
// end (what the first microbatch waits for).
std::optional<PipelineShape> cut_shortest(const World& world, PipelineShape pipeline,
                                          int64_t num_microbatches,
                                          const std::vector<int>& num_holders, int64_t bound_ns);

// Forward and backward of one microbatch in a stage.
int64_t stage_work_ns(const World& world, const StageShape& stage, int microbatch);

}  // namespace skarv
