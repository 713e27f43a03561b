// Which kernels this CPU runs.
#pragma once

#include <vector>

#include "model/kernels/table.h"

namespace skarv::kernels {

// The best table that this CPU runs; chosen at the first call. Thread-safe.
const Table& best();
// Its kernels for activations of that type.
template <typename T>
const LayerKernels<T>& best_for();
// All that this CPU runs, portable first, best last.
std::vector<const Table*> available();

}  // namespace skarv::kernels
