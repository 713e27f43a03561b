// Small changes to an island, which refine.h puts together. They say whether the change makes
// sense; of what does not nothing further is promised. Pure, any thread.
#pragma once

#include <utility>
#include <vector>

#include "plan/cost/device_index.h"
#include "spec/plan.h"

namespace skarv {

// The border behind each of these stages moves by so many layers. False: a stage has none left.
bool move_borders(const std::vector<std::pair<size_t, int>>& borders, Pipeline& pipeline);
// One layer leaves the stage `from` for `to`; those between the two shift by a layer.
bool move_layer(size_t from, size_t to, Pipeline& pipeline);

// The pipeline gives samples to the other, in smaller microbatches if it has to.
bool move_samples(int64_t moved, Pipeline& giver, Pipeline& taker);

void toggle_recompute(Stage& stage);

// Whether it would change anything if their devices changed places: there are as many, and one can
// tell them apart.
bool can_exchange(const DeviceIndex& devices, const Stage& a, const Stage& b);
// They do, wherever they stand in their pipelines. False: they cannot.
bool exchange_devices(const DeviceIndex& devices, Pipeline& one, size_t s, Pipeline& other,
                      size_t t);

// All devices of these pipelines are dealt out among them anew, host after host: stage by stage
// (the replicas of a stage lie side by side, so gradients stay on a host where they can) or
// pipeline by pipeline (so activations do). False: they do not have the same chips and degrees in
// the same order, a device stands in two stages, or nothing changes.
bool deal_anew(const DeviceIndex& devices, const std::vector<size_t>& pipelines, bool by_stage,
               Island& island);

// Another pipeline takes its samples.
bool leave_out(size_t pipeline, size_t taker, Island& island);

// The same layers in as many stages, whatever devices, samples and microbatches they have.
bool has_same_cut(const Pipeline& a, const Pipeline& b);

}  // namespace skarv
