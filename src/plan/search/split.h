// Whole numbers in proportion to speed.
#pragma once

#include <cstdint>
#include <vector>

namespace skarv {

// Splits `total` equal pieces over workers that take seconds[i] for one, so that the slowest
// finishes as early as possible. A worker may get none. REQUIRES: seconds > 0.
std::vector<int64_t> split_pieces(int64_t total, const std::vector<double>& seconds);

// Cuts layers into one contiguous, not empty range for each worker, in order, so that the largest
// seconds[worker][layer] sum is smallest. Returns the first layers of the ranges and the end.
// REQUIRES: at least as many layers as workers.
std::vector<int> cut_layers(const std::vector<std::vector<double>>& seconds);

}  // namespace skarv
