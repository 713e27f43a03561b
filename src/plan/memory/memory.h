// What a plan needs: bytes on every device, and bytes of host memory for the keepers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plan/cost/island_cost.h"
#include "spec/schedule.h"

namespace skarv {

struct DeviceMemory {
  int64_t weights = 0;      // compute precision, of all layers held
  int64_t gradients = 0;    // fp32
  int64_t optimizer = 0;    // AdamW moments of the owned slabs, and fp32 masters under bf16
  int64_t activations = 0;  // peak over the step
  int64_t base = 0;         // of a worker without a model
  int64_t limit = 0;        // usable

  int64_t total() const { return weights + gradients + optimizer + activations + base; }
  bool fits() const { return total() <= limit; }
};

// By rank. A microbatch holds its activations from its forward to the end of its
// backward; with full recomputation it holds its input, and one microbatch at a time the rest.
Result<std::vector<DeviceMemory>> estimate_memory(const Schedule& schedule, const Island& island,
                                                  const Ownership& ownership,
                                                  const SlabTable& table, const Run& run,
                                                  const DeviceIndex& devices,
                                                  const Profile& profile);

// Bytes of host memory that the keepers of an island need, by host ("site/host"): outer weights and
// momentum twice, residual, payloads: 24 bytes a parameter (protocol.md, 7).
std::map<std::string, int64_t> keeper_memory(const Ownership& ownership, const SlabTable& table);

}  // namespace skarv
