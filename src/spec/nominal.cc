#include "spec/nominal.h"

#include <algorithm>
#include <cmath>

namespace skarv {

namespace {

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

}  // namespace

LayerKind kind_of_layer(const Model& model, int layer) {
  if (layer == 0) return LayerKind::kEmbedding;
  return layer == model.head_layer() ? LayerKind::kHead : LayerKind::kBlock;
}

NominalTimes::Key NominalTimes::key_of(const Action& action) const {
  int samples = -1;
  if (action.pipeline >= 0 && action.pipeline < static_cast<int>(sizes_.size())) {
    const Sizes& sizes = sizes_[action.pipeline];
    samples = action.microbatch == sizes.last_index ? sizes.last : sizes.whole;
  }
  return {action.kind, action.pipeline, action.stage, samples, action.group};
}

Status NominalTimes::add_stage(const Model& model, const Profile& profile, const std::string& chip,
                               int pipeline, int stage, const Island& island, int samples) {
  const Stage& layers = island.pipelines[pipeline].stages[stage];
  // Rounded layer by layer, as plan/cost/workload.h does.
  int64_t forward = 0, input = 0, weight = 0;
  for (LayerKind kind : {LayerKind::kEmbedding, LayerKind::kBlock, LayerKind::kHead}) {
    int count = 0;
    for (int layer = layers.first; layer < layers.last; ++layer) {
      count += kind_of_layer(model, layer) == kind;
    }
    if (count == 0) continue;
    SKARV_ASSIGN(const LayerTime time,
                 layer_time(profile, chip, kind, samples, layers.tensor_parallel));
    forward += count * nanoseconds(time.forward);
    input += count * nanoseconds(time.backward_input);
    weight += count * nanoseconds(time.backward_weight);
  }
  if (layers.recompute == Recompute::kFull) input += forward;
  const auto set = [&](ActionKind kind, int64_t time) {
    times_[{kind, pipeline, stage, samples, -1}] = Duration(time);
  };
  set(ActionKind::kForward, forward);
  set(ActionKind::kBackward, input + weight);
  set(ActionKind::kBackwardInput, input);
  set(ActionKind::kBackwardWeight, weight);
  return {};
}

Result<NominalTimes> NominalTimes::create(const Island& island, const Ownership& ownership,
                                          const SlabTable& table, const Model& model,
                                          const Profile& profile, const std::string& chip,
                                          int rank) {
  NominalTimes result;
  for (const Pipeline& pipeline : island.pipelines) {
    const int last = pipeline.num_microbatches() - 1;
    result.sizes_.push_back({pipeline.microbatch_size(0), pipeline.microbatch_size(last), last});
  }
  const std::string& device = ownership.devices[rank];
  int tensor_parallel = 1;
  for (size_t p = 0; p < island.pipelines.size(); ++p) {
    const std::vector<Stage>& stages = island.pipelines[p].stages;
    for (size_t s = 0; s < stages.size(); ++s) {
      if (std::ranges::find(stages[s].devices, device) == stages[s].devices.end()) continue;
      tensor_parallel = stages[s].tensor_parallel;
      for (int samples : {result.sizes_[p].whole, result.sizes_[p].last}) {
        SKARV_TRY(result.add_stage(model, profile, chip, static_cast<int>(p), static_cast<int>(s),
                                   island, samples));
      }
    }
  }
  std::vector<double> layer_elements(model.num_layers(), 0.0), layer_update(model.num_layers(), -1);
  for (const Slab& slab : table.slabs()) layer_elements[slab.layer] += slab.size();
  for (size_t group = 0; group < ownership.groups.size(); ++group) {
    double seconds = 0;
    for (int slab : ownership.groups[group].slabs) {
      if (ownership.owner[slab] != rank) continue;
      const int layer = table[slab].layer;
      if (layer_update[layer] < 0) {
        SKARV_ASSIGN(const LayerTime time,
                     layer_time(profile, chip, kind_of_layer(model, layer), 1, tensor_parallel));
        layer_update[layer] = time.update * tensor_parallel;  // of 1/tp of the layer
      }
      seconds += layer_update[layer] * table[slab].size() / layer_elements[layer];
    }
    result.times_[{ActionKind::kUpdate, -1, -1, -1, static_cast<int>(group)}] =
        Duration(nanoseconds(seconds));
  }
  return result;
}

Duration NominalTimes::of(const Action& action) const {
  const auto found = times_.find(key_of(action));
  return found == times_.end() ? Duration{} : found->second;
}

}  // namespace skarv
