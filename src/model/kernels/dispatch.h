// Which kernels this CPU runs.
#pragma once

#include <vector>

#include "model/kernels/table.h"

namespace skarv::kernels {

// The best table that this CPU runs; chosen at the first call. Thread-safe.
const Table& best();
// All that this CPU runs, portable first, best last.
std::vector<const Table*> available();

}  // namespace skarv::kernels
