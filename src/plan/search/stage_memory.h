// Bytes on each device of a stage, as plan/memory counts them for whole schedules.
#pragma once

#include <cstdint>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// What a stage's memory depends on beside its own layers.
struct StagePlace {
  int index = 0, num_stages = 1;
  int64_t num_microbatches = 1;
  int num_holders = 1;    // devices of the island that share the optimizer state of its layers
  bool is_split = false;  // backwards in two halves
};

int64_t stage_bytes(const World& world, const StageShape& stage, int microbatch,
                    const StagePlace& place);
bool stage_fits(const World& world, const StageShape& stage, int microbatch,
                const StagePlace& place);
// Recomputation where a stage does not fit without; false where it does not fit with it either.
// `num_pipelines` of the island share the optimizer state.
bool settle_memory(const World& world, int num_pipelines, PipelineGroup& group);

}  // namespace skarv
