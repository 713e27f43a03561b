#include "train/pacing.h"

#include "train/executor.h"

namespace skarv::train {
namespace {

LayerKind kind_of(const Model& model, int layer) {
  if (layer == 0) return LayerKind::kEmbedding;
  return layer == model.head_layer() ? LayerKind::kHead : LayerKind::kBlock;
}

double seconds_of(ActionKind kind, const LayerTime& time) {
  switch (kind) {
    case ActionKind::kForward:
      return time.forward;
    case ActionKind::kBackward:
      return time.backward_input + time.backward_weight;
    case ActionKind::kBackwardInput:
      return time.backward_input;
    case ActionKind::kBackwardWeight:
      return time.backward_weight;
    default:
      return 0;
  }
}

}  // namespace

NominalTimes::Key NominalTimes::key_of(const Action& action) {
  return {action.kind, action.pipeline, action.stage, action.microbatch, action.group};
}

Result<NominalTimes> NominalTimes::create(const std::vector<Action>& actions, const Island& island,
                                          const Ownership& ownership, const SlabTable& table,
                                          const Model& model, const Profile& profile,
                                          const std::string& chip, int rank) {
  std::vector<double> layer_elements(model.num_layers(), 0.0);
  for (const Slab& slab : table.slabs()) layer_elements[slab.layer] += slab.size();

  NominalTimes result;
  for (const Action& action : actions) {
    if (!is_compute(action.kind)) continue;
    double seconds = 0;
    if (action.kind == ActionKind::kUpdate) {
      for (int slab : ownership.groups[action.group].slabs) {
        if (ownership.owner[slab] != rank) continue;
        const int layer = table[slab].layer;
        SKARV_ASSIGN(LayerTime time, layer_time(profile, chip, kind_of(model, layer), 1, 1));
        seconds += time.update * static_cast<double>(table[slab].size()) / layer_elements[layer];
      }
    } else {
      const Pipeline& pipeline = island.pipelines[action.pipeline];
      const Stage& stage = pipeline.stages[action.stage];
      for (int layer = stage.first; layer < stage.last; ++layer) {
        SKARV_ASSIGN(LayerTime time, layer_time(profile, chip, kind_of(model, layer),
                                                pipeline.microbatch_size(action.microbatch), 1));
        seconds += seconds_of(action.kind, time);
        const bool again =
            stage.recompute == Recompute::kFull &&
            (action.kind == ActionKind::kBackward || action.kind == ActionKind::kBackwardInput);
        if (again) seconds += time.forward;
      }
    }
    result.times_[key_of(action)] = from_seconds(seconds);
  }
  return result;
}

Duration NominalTimes::of(const Action& action) const {
  const auto found = times_.find(key_of(action));
  return found == times_.end() ? Duration{} : found->second;
}

}  // namespace skarv::train
