// The step time of an island in closed form: samples split so that all pipelines end together, then
// the end of the step (reduce, clip, update, gather).
#pragma once

#include <optional>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// The end of the step. Impossible (members without a link): a negative number.
int64_t end_of_step_ns(const World& world, const IslandShape& island);

// Splits `samples` over the pipelines and sets step_ns; groups are divided where some replicas take
// a sample more, and left out where none fall to them. False: the shape cannot work.
bool set_samples(const World& world, IslandShape& island, int64_t samples);

// The same, with recomputation where memory asks for it; false where something does not fit.
bool price_shape(const World& world, IslandShape& island, int64_t samples);

// Most samples of the island in a step of `ns`, at most `most`; for sharing out the global batch.
int64_t samples_within(const World& world, const IslandShape& island, int64_t ns, int64_t most);

}  // namespace skarv
