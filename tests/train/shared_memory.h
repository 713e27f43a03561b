// The memory that an agent would share with its workers, with the run's initial weights as w.
#pragma once

#include "handoff/memory.h"
#include "spec/slab.h"

namespace skarv::train {

handoff::SharedMemory genesis_memory(const SlabTable& table, uint64_t seed);
// Writes the other side of w of a slab and makes it the current one.
void set_outer(handoff::SharedMemory& memory, int slab, std::span<const float> values);

}  // namespace skarv::train
