// Work of fused kernels shared among libtorch's threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

namespace skarv {

// Rows of `width` floats in ranges worth a thread's start.
template <typename Work>
void for_row_ranges(int64_t rows, int64_t width, const Work& work) {
  constexpr int64_t kFloats = 1 << 15;
  at::parallel_for(0, rows, std::max<int64_t>(1, kFloats / width), work);
}

}  // namespace skarv
