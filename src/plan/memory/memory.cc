#include "plan/memory/memory.h"

#include <algorithm>
#include <cmath>

#include "spec/nominal.h"
#include "spec/stage_map.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr int64_t kKeeperBytes = 24;  // a parameter

// Bytes that one microbatch of a stage keeps: `held` for the whole time, `passing` only while its
// backward runs (recomputation).
struct StageBytes {
  int64_t held = 0, passing = 0;
};

Result<StageBytes> bytes_of_stage(const Stage& stage, const Run& run, const Profile& profile,
                                  const std::string& chip, int samples) {
  double kept = 0;
  for (int layer = stage.first; layer < stage.last; ++layer) {
    SKARV_ASSIGN(const LayerTime time, layer_time(profile, chip, kind_of_layer(run.model, layer),
                                                  samples, stage.tensor_parallel));
    kept += time.activation_bytes;
  }
  const auto all = static_cast<int64_t>(std::ceil(kept));
  if (stage.recompute == Recompute::kNone) return StageBytes{all, 0};
  return StageBytes{border_bytes(run.model, run.precision, samples), all};
}

class Estimate {
 public:
  Estimate(const Island& island, const Run& run, const Profile& profile, const std::string& chip)
      : island_(island), run_(run), profile_(profile), chip_(chip) {}

  Result<int64_t> peak(const std::vector<Action>& actions) {
    int64_t held = 0, peak = 0;
    for (const Action& action : actions) {
      switch (action.kind) {
        case ActionKind::kForward: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          held += bytes.held;
          peak = std::max(peak, held + bytes.passing);
          break;
        }
        case ActionKind::kBackwardInput:
        case ActionKind::kBackward:
        case ActionKind::kBackwardWeight: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          peak = std::max(peak, held + bytes.passing);
          if (action.kind != ActionKind::kBackwardInput) held -= bytes.held;
          break;
        }
        default:
          break;
      }
    }
    return peak;
  }

 private:
  Result<StageBytes> of(const Action& action) {
    const Pipeline& pipeline = island_.pipelines[action.pipeline];
    const int samples = pipeline.microbatch_size(action.microbatch);
    const auto key = std::tuple(action.pipeline, action.stage, samples);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    SKARV_ASSIGN(const StageBytes bytes,
                 bytes_of_stage(pipeline.stages[action.stage], run_, profile_, chip_, samples));
    known_.emplace(key, bytes);
    return bytes;
  }

  const Island& island_;
  const Run& run_;
  const Profile& profile_;
  const std::string& chip_;
  std::map<std::tuple<int, int, int>, StageBytes> known_;
};

}  // namespace

Result<std::vector<DeviceMemory>> estimate_memory(const Schedule& schedule, const Island& island,
                                                  const Ownership& ownership,
                                                  const SlabTable& table, const Run& run,
                                                  const DeviceIndex& devices,
                                                  const Profile& profile) {
  const StageMap map(island);
  std::vector<int64_t> owned(schedule.devices.size(), 0);
  for (int slab = 0; slab < table.size(); ++slab) {
    owned[ownership.owner[slab]] += table[slab].size();
  }
  std::vector<DeviceMemory> result;
  for (size_t rank = 0; rank < schedule.devices.size(); ++rank) {
    const DeviceInfo& device = devices.at(schedule.devices[rank]);
    int tensor_parallel = 1;
    for (const StageMap::Seat& seat : map.seats_of(static_cast<int>(rank))) {
      tensor_parallel = island.pipelines[seat.pipeline].stages[seat.stage].tensor_parallel;
    }
    int64_t held = 0;
    for (int tensor : ownership.tensors_held[rank]) held += table.tensors()[tensor].num_elements();
    held = (held + tensor_parallel - 1) / tensor_parallel;

    DeviceMemory& memory = result.emplace_back();
    memory.weights = held * element_bytes(run.precision);
    memory.gradients = held * 4;
    memory.optimizer = owned[rank] * (run.precision == Precision::kFp32 ? 8 : 12);
    Estimate estimate(island, run, profile, device.chip.name);
    SKARV_ASSIGN(memory.activations, estimate.peak(schedule.actions[rank]));
    memory.limit = device.memory_bytes;
    for (const DeviceMeasure& measure : profile.devices) {
      if (measure.device != device.name) continue;
      memory.base = static_cast<int64_t>(measure.base_bytes);
      if (measure.usable_bytes > 0) {
        memory.limit = std::min(memory.limit, static_cast<int64_t>(measure.usable_bytes));
      }
    }
  }
  return result;
}

std::map<std::string, int64_t> keeper_memory(const Ownership& ownership, const SlabTable& table) {
  std::map<std::string, int64_t> bytes;
  for (int slab = 0; slab < table.size(); ++slab) {
    const std::string& device = ownership.devices[ownership.owner[slab]];
    bytes[device.substr(0, device.rfind('/'))] += kKeeperBytes * table[slab].size();
  }
  return bytes;
}

}  // namespace skarv
