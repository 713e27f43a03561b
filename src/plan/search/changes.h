// What refine.h tries: families of changes to an island, each with the pipelines that it is tried
// in. All return whether anything was kept; none does anything when the trials have no time left.
#pragma once

#include <string>
#include <vector>

#include "plan/search/limits.h"
#include "plan/search/trials.h"

namespace skarv {

// layer_changes.cc. What a layer that moves may change in recomputation: nothing, less where it
// came from (1), more where it goes to (2), both (3).
using RecomputeChanges = std::vector<int>;
// From stages that compute long to those that do not, wherever they are: what takes most off the
// longer one of the two first.
bool relieve_stages(Trials& trials, size_t island, size_t p);
// Over each border, both ways.
bool move_layers(Trials& trials, size_t island, size_t p, const RecomputeChanges& changes);
// To stages that are not next to their own, the nearest first.
bool move_layers_far(Trials& trials, size_t island);
bool move_two_borders(Trials& trials, size_t island);
// Less recomputation than memory asks for does not fit, more takes longer: tried late.
bool toggle_recompute_in(Trials& trials, size_t island, size_t p);

// sample_changes.cc.
// From pipelines that end late to those that end early, in all islands, as many at once as helps.
bool share_anew(Trials& trials);
// To any other pipeline, in more microbatches or in larger ones; only to those that end earlier
// then, as it is thought, than the one that gives?
bool move_samples_from(Trials& trials, size_t island, size_t from, int times_larger, bool to_early);
bool leave_out_any(Trials& trials, size_t island);

// device_changes.cc.
// Side by side by stages or by pipelines, of all pipelines with the same chips in a row.
bool deal_devices_anew(Trials& trials, size_t island);
// Between stages of one pipeline, or of two that differ.
bool swap_devices(Trials& trials, size_t island);

// schedule_changes.cc.
// Microbatch or schedule of the whole island.
bool change_all(Trials& trials, const PlannerLimits& limits, size_t island);
bool change_schedule(Trials& trials, const PlannerLimits& limits, size_t island, size_t p);
// Two stages a device, all backwards split: in all pipelines, and in the first of each kind.
bool interleave_any(Trials& trials, const PlannerLimits& limits, size_t island);

}  // namespace skarv
