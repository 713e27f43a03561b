// Whether a pipeline that is cut otherwise can be as fast in the memory that its devices then have
// left: a guess from what they hold today, for a twentieth of what asking for owners and costs of
// the whole island takes.
#pragma once

#include "plan/search/pipeline_use.h"

namespace skarv {

// What the pipeline takes at the least without its reduces, if its devices hold in proportion to
// their parameters what they held as `before`, of which `use` tells. Error: as island_times.
// REQUIRES: both have the same devices in the same stages.
Result<int64_t> guessed_floor(const Pipeline& changed, const Pipeline& before,
                              const PipelineUse& use, const StepWorld& world);

}  // namespace skarv
