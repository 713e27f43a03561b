// All ways to arrange a handful of devices: every set of pipelines, every order of their stages.
#pragma once

#include <vector>

#include "plan/search/island_search.h"

namespace skarv {

// Whether there are few enough devices and samples for search_small.
bool is_small(const World& world, const IslandQuestion& question);

// Best first, at most `num_wanted`. Pipelines meet only in the samples that they share and at the
// end of the step, so each arrangement of stages is timed once for every number of samples (cuts,
// microbatches and flows inside), and sets of them are compared by these times.
std::vector<IslandShape> search_small(const World& world, const IslandQuestion& question);

}  // namespace skarv
