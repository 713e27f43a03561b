// The owned slabs of a rank to and from the memory that its agent shares with it: snapshots, inner
// states, and the rules by which merged weights become the rank's (protocol.md, rule 8).
#pragma once

#include "base/status.h"
#include "handoff/memory.h"
#include "handoff/messages.h"
#include "train/slab_optimizer.h"

namespace skarv::train {

// Owned slabs of a fragment; -1: all.
std::vector<int> owned_slabs(const SlabOptimizer& optimizer, const SlabTable& table, int fragment);

// Every owned slab lies in the memory. Error: kFailedPrecondition naming the first that does not.
Status check_memory(const SlabOptimizer& optimizer, const SlabTable& table,
                    const handoff::SharedMemory& memory);

// x to `snapshot`. Returns the squared norm of x - w_now, not finite when x is not.
Result<double> write_weights(const SlabOptimizer& optimizer, const std::vector<int>& slabs,
                             const handoff::SharedMemory& memory);
// The summed gradient to `snapshot`; the squared norm of it.
Result<double> write_gradients(const SlabOptimizer& optimizer, const std::vector<int>& slabs,
                               const handoff::SharedMemory& memory);

// x and moments of all owned slabs to and from inner snapshot `parity`; bit-equal.
Status write_inner(const SlabOptimizer& optimizer, const handoff::SharedMemory& memory, int parity);
Status read_inner(SlabOptimizer& optimizer, const handoff::SharedMemory& memory, int parity);
// x = w_now; moments of inner snapshot `moments_parity`, or zero where that is -1.
Status read_outer(SlabOptimizer& optimizer, const handoff::SharedMemory& memory,
                  int moments_parity);

// Included: x = alpha x + (1 - alpha) w_now. Excluded: x += w_now - w_before. Reset: x = w_now.
Status apply_outer(SlabOptimizer& optimizer, const std::vector<int>& slabs,
                   const handoff::SharedMemory& memory, handoff::Verdict verdict, double alpha);

}  // namespace skarv::train
