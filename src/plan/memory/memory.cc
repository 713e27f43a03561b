#include "plan/memory/memory.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "spec/stage_map.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr int64_t kKeeperBytes = 24;  // a parameter
constexpr int64_t kBucketBytes =
    4 * int64_t{8 << 20};  // comm/bucket.cc: fp32 elements of a message

class Walk {
 public:
  Walk(const MemoryQuery& query, const StageMap& map, int rank)
      : query_(query),
        map_(map),
        rank_(rank),
        chip_(query.devices.at(query.schedule.devices[rank]).chip.name) {}

  // `visit(index, bytes)`: activations at their most while the action runs.
  template <typename Visit>
  Status run(Visit visit) {
    int64_t held = 0;
    const std::vector<Action>& actions = query_.schedule.actions[rank_];
    for (size_t i = 0; i < actions.size(); ++i) {
      const Action& action = actions[i];
      int64_t most = held;
      switch (action.kind) {
        case ActionKind::kReceiveActivation:
        case ActionKind::kReceiveGradient:
          held += action.bytes;
          most = held;
          break;
        case ActionKind::kForward: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          // The input was counted when it came.
          const int64_t input = received_input(action);
          most = held + bytes.kept - input + bytes.transient;
          held += bytes.kept - input;
          break;
        }
        case ActionKind::kBackwardInput: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          most = held + bytes.input_transient;
          held -= bytes.gradient + bytes.freed_by_input;
          break;
        }
        case ActionKind::kBackward: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          most = held + bytes.transient;
          held -= bytes.kept + bytes.gradient;
          break;
        }
        case ActionKind::kBackwardWeight: {
          SKARV_ASSIGN(const StageBytes bytes, of(action));
          held -= bytes.kept - bytes.freed_by_input;
          break;
        }
        default:
          break;
      }
      visit(static_cast<int>(i), most);
    }
    return {};
  }

 private:
  int samples_of(const Action& action) const {
    return query_.fold.island.pipelines[action.pipeline].microbatch_size(action.microbatch);
  }
  StageMap::Seat seat_of(const Action& action) const {
    for (const StageMap::Seat& seat : map_.seats_of(rank_)) {
      if (seat.pipeline == action.pipeline && seat.stage == action.stage) return seat;
    }
    return {};
  }
  int64_t received_input(const Action& action) const {
    const int source = map_.activation_source(seat_of(action));
    if (source < 0 || source == rank_) return 0;
    const Pipeline& pipeline = query_.fold.island.pipelines[action.pipeline];
    return query_.workload.size(pipeline.stages[action.stage].first - 1).output_bytes *
           samples_of(action);
  }
  Result<StageBytes> of(const Action& action) {
    const int samples = samples_of(action);
    const auto key = std::tuple(action.pipeline, action.stage, samples);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    const StageMap::Seat seat = seat_of(action);
    const int before = map_.activation_source(seat), after = map_.gradient_source(seat);
    SKARV_ASSIGN(const StageBytes bytes,
                 bytes_of_stage(query_.fold.island.pipelines[action.pipeline], action.stage,
                                before >= 0 && before != rank_, after >= 0 && after != rank_,
                                samples, chip_, query_.workload));
    known_.emplace(key, bytes);
    return bytes;
  }

  const MemoryQuery& query_;
  const StageMap& map_;
  const int rank_;
  const std::string& chip_;
  std::map<std::tuple<int, int, int>, StageBytes> known_;
};

// What a rank has of the groups' parameters, of the whole island.
struct Holding {
  int64_t elements = 0, owned = 0, exchange = 0;
};

// Exchange: gradients of the owned slabs, packed, received and summed, and those on their way to
// other owners; within one maker and site one message at a time is packed.
std::vector<Holding> holdings_of(const MemoryQuery& query) {
  const std::vector<std::string> names = query.island.devices();
  std::vector<Holding> holdings(names.size());
  for (const GroupLoad& load : query.loads) {
    const std::map<int, int64_t> owned = load.owned_by_rank();
    const DeviceInfo& first = query.devices.at(names[load.members[0]]);
    const bool together = std::ranges::all_of(load.members, [&](int rank) {
      const DeviceInfo& device = query.devices.at(names[rank]);
      return device.chip.maker == first.chip.maker && device.site == first.site;
    });
    int64_t most_owned = 0;
    for (const auto& [rank, elements] : owned) most_owned = std::max(most_owned, elements);
    for (int rank : load.members) {
      const auto mine = owned.find(rank);
      const int64_t own = mine == owned.end() ? 0 : mine->second;
      holdings[rank].elements += load.num_elements;
      holdings[rank].owned += own;
      if (load.members.size() == 1) continue;
      const int64_t exchange = together
                                   ? std::min(kBucketBytes, 4 * most_owned)
                                   : 4 * load.num_elements + 2 * std::min(kBucketBytes, 4 * own);
      holdings[rank].exchange = std::max(holdings[rank].exchange, exchange);
    }
  }
  return holdings;
}

}  // namespace

Result<StageBytes> bytes_of_stage(const Pipeline& pipeline, int stage, bool receives_input,
                                  bool receives_gradient, int samples, const std::string& chip,
                                  const Workload& workload) {
  const Stage& layers = pipeline.stages[stage];
  const bool full = layers.recompute == Recompute::kFull;
  StageBytes bytes;
  // Of the layers behind the one that computes: what they kept, and what a backward for inputs
  // made anew there and has not freed.
  int64_t after = 0, waiting = 0;
  for (int layer = layers.last - 1; layer >= layers.first; --layer) {
    SKARV_ASSIGN(const LayerCost cost, workload.cost(chip, layer, samples, layers.tensor_parallel));
    // Only what lies between the embedding and the head is computed again.
    const bool again = full && layer > 0 && layer + 1 < workload.num_layers();
    const int64_t kept = again ? workload.size(layer).output_bytes * samples : cost.kept_bytes;
    const int64_t computing = (again ? cost.kept_bytes : 0) + cost.transient_bytes;
    bytes.transient = std::max(bytes.transient, computing - after);
    bytes.input_transient = std::max(bytes.input_transient, computing + waiting);
    bytes.kept += kept;
    after += kept;
    if (again) waiting += cost.kept_bytes - kept;
    // The head's weights have their gradient from its forward.
    if (layer + 1 == workload.num_layers()) waiting -= kept;
  }
  bytes.freed_by_input = -waiting;
  if (receives_input) {
    const int64_t input = workload.size(layers.first - 1).output_bytes * samples;
    bytes.kept += input;
    bytes.freed_by_input += input;
  }
  if (receives_gradient) bytes.gradient = workload.size(layers.last - 1).output_bytes * samples;
  return bytes;
}

Result<std::vector<std::vector<int64_t>>> activation_bytes(const MemoryQuery& query) {
  const StageMap map(query.fold.island);
  std::vector<std::vector<int64_t>> bytes(query.fold.num_ranks());
  for (int rank = 0; rank < query.fold.num_ranks(); ++rank) {
    std::vector<int64_t>& mine = bytes[rank];
    SKARV_TRY(Walk(query, map, rank).run([&](int, int64_t most) { mine.push_back(most); }));
  }
  return bytes;
}

Result<std::vector<DeviceMemory>> memory_of(const MemoryQuery& query) {
  const std::vector<Holding> holdings = holdings_of(query);
  const int64_t weight = element_bytes(query.precision);
  std::vector<Holding> fullest(query.fold.num_ranks());
  for (size_t rank = 0; rank < holdings.size(); ++rank) {
    Holding& most = fullest[query.fold.folded_rank[rank]];
    most.elements = std::max(most.elements, holdings[rank].elements);
    most.owned = std::max(most.owned, holdings[rank].owned);
    most.exchange = std::max(most.exchange, holdings[rank].exchange);
  }
  std::vector<int> degree(query.fold.num_ranks(), 1);
  const StageMap map(query.fold.island);
  std::vector<DeviceMemory> result;
  for (int rank = 0; rank < query.fold.num_ranks(); ++rank) {
    for (const StageMap::Seat& seat : map.seats_of(rank)) {
      degree[rank] = query.fold.island.pipelines[seat.pipeline].stages[seat.stage].tensor_parallel;
    }
    const DeviceInfo& device = query.devices.at(query.schedule.devices[rank]);
    const int64_t held = (fullest[rank].elements + degree[rank] - 1) / degree[rank];
    DeviceMemory& memory = result.emplace_back();
    memory.weights = held * weight;
    memory.gradients = held * 4;
    memory.optimizer = fullest[rank].owned * (weight == 4 ? 8 : 12);
    SKARV_TRY(Walk(query, map, rank).run([&](int index, int64_t most) {
      if (most <= memory.activations) return;
      memory.activations = most;
      memory.peak_action = index;
    }));
    memory.buffers =
        std::max<int64_t>(0, fullest[rank].exchange / degree[rank] - memory.activations);
    memory.limit = device.memory_bytes;
    for (const DeviceMeasure& measure : query.measured.devices) {
      if (measure.device != device.name) continue;
      memory.base = static_cast<int64_t>(measure.base_bytes);
      if (measure.usable_bytes > 0) {
        memory.limit = std::min(memory.limit, static_cast<int64_t>(measure.usable_bytes));
      }
    }
    const bool is_accelerator = device.chip.maker != "cpu" && device.chip.maker != "toy";
    if (is_accelerator) {
      memory.reserve = std::llround(kReserve * static_cast<double>(memory.limit));
    }
  }
  return result;
}

Result<std::vector<DeviceMemory>> estimate_memory(const Schedule& schedule, const Island& island,
                                                  const Ownership& ownership,
                                                  const SlabTable& table, const Run& run,
                                                  const DeviceIndex& devices,
                                                  const Profile& profile) {
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  FoldRules rules;
  rules.whole = true;
  const Fold fold = fold_island(island, devices, {}, rules);
  const std::vector<GroupLoad> loads = loads_of(ownership, table);
  return memory_of({schedule, island, fold, loads, workload, run.precision, devices, profile});
}

int64_t activation_room(const DeviceMemory& memory) {
  const int64_t left = std::max<int64_t>(0, memory.limit - memory.total());
  const int64_t room = left - left / 20, step = std::max<int64_t>(1, memory.limit / 256);
  return room < step ? room : room / step * step;
}

std::map<std::string, int64_t> keeper_memory(const Ownership& ownership, const SlabTable& table) {
  return keeper_memory(ownership.devices, loads_of(ownership, table));
}

std::map<std::string, int64_t> keeper_memory(const std::vector<std::string>& devices,
                                             const std::vector<GroupLoad>& loads) {
  std::map<std::string, int64_t> bytes;
  for (const GroupLoad& load : loads) {
    for (const OwnedPart& part : load.owned) {
      const std::string& device = devices[part.rank];
      bytes[host_of(device)] += kKeeperBytes * part.elements;
    }
  }
  return bytes;
}

}  // namespace skarv
