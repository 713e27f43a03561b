// What a plan needs: bytes on every device over the step, and bytes of host memory for the keepers.
//
// As the workers hold them (docs/cost-model.md, memory): a microbatch keeps its layers' activations
// from its forward to the end of its backward. A stage that received its input keeps that too; the
// gradient it receives lives until its backward ends. Of a block a split backward frees nothing
// before its weights' half: what the products need (inputs and output gradients of the linear
// layers) is as large as what was kept. With full recomputation every block keeps its input alone,
// and one block at a time its activations, while it is differentiated.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plan/cost/device_index.h"
#include "plan/cost/fold.h"
#include "plan/cost/group_load.h"
#include "plan/cost/workload.h"
#include "spec/schedule.h"

namespace skarv {

struct DeviceMemory {
  int64_t weights = 0;      // compute precision, of all layers held
  int64_t gradients = 0;    // fp32
  int64_t optimizer = 0;    // AdamW moments of the owned slabs, and fp32 masters under bf16
  int64_t activations = 0;  // peak over the step, with what only exists while a layer computes
  int64_t buffers = 0;      // of reduce and gather, where they need more room than activations
  int64_t base = 0;         // of a worker without a model
  int64_t reserve = 0;      // left free on accelerators: see kReserve
  int64_t limit = 0;        // usable
  int peak_action = -1;     // of the rank's list: where activations peak

  // What the device's allocator hands out at most: a run reports its peak.
  int64_t allocated() const { return weights + gradients + optimizer + activations + buffers; }
  int64_t total() const { return allocated() + base + reserve; }
  bool fits() const { return total() <= limit; }
};

// What activations may fill when a schedule is made, of a device that holds all else: a twentieth
// stays free. In steps of a 256th of the device, so that replicas whose owners differ by a slab get
// the same schedule.
int64_t activation_room(const DeviceMemory& without_activations);

// Part of an accelerator's memory that caching allocators lose to fragments and their libraries to
// workspaces. A cpu device has nothing of the kind.
inline constexpr double kReserve = 0.04;

struct MemoryQuery {
  const Schedule& schedule;  // of the folded island
  const Island& island;      // the whole one
  const Fold& fold;
  const std::vector<GroupLoad>& loads;
  const Workload& workload;
  Precision precision;
  const DeviceIndex& devices;
  const Profile& measured;  // usable and base bytes of devices
};
// By rank of the fold: the fullest of the devices that it stands for. Error: a gap in the profile.
Result<std::vector<DeviceMemory>> memory_of(const MemoryQuery& query);

// Bytes of activations while each action runs, its peak included, by rank of the fold.
Result<std::vector<std::vector<int64_t>>> activation_bytes(const MemoryQuery& query);

// The same for an island of which nothing is folded.
Result<std::vector<DeviceMemory>> estimate_memory(const Schedule& schedule, const Island& island,
                                                  const Ownership& ownership,
                                                  const SlabTable& table, const Run& run,
                                                  const DeviceIndex& devices,
                                                  const Profile& profile);

// Bytes of host memory that the keepers of an island need, by host ("site/host"): outer weights and
// momentum twice, residual, payloads: 24 bytes a parameter (protocol.md, 7).
std::map<std::string, int64_t> keeper_memory(const Ownership& ownership, const SlabTable& table);
std::map<std::string, int64_t> keeper_memory(const std::vector<std::string>& devices,
                                             const std::vector<GroupLoad>& loads);

// What one microbatch of a stage holds: planners cut by it.
struct StageBytes {
  int64_t kept = 0;       // from forward to backward, the received input among it
  int64_t transient = 0;  // on top while it computes
  // On top while the half for inputs computes: with recomputation one block's activations beside
  // those of the blocks behind it, which wait for the weights' half.
  int64_t input_transient = 0;
  int64_t gradient = 0;  // received, until its backward ends
  // Split backwards: what the half for inputs frees of `kept`, the received input and what the head
  // kept. Negative with recomputation: what was computed again waits for the weights' half.
  int64_t freed_by_input = 0;
};
Result<StageBytes> bytes_of_stage(const Pipeline& pipeline, int stage, bool receives_input,
                                  bool receives_gradient, int samples, const std::string& chip,
                                  const Workload& workload);

}  // namespace skarv
