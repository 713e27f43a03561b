// Gradient rows into an embedding table; see table.h.
#pragma once

#include <stdint.h>

namespace {

void scatter_add(const float* rows, const int64_t* ids, int64_t num_rows, int64_t c, int64_t begin,
                 int64_t end, float* table) {
  for (int64_t row = 0; row < num_rows; ++row) {
    const float* in = rows + row * c;
    float* out = table + ids[row] * c;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) out[i] += in[i];
  }
}

}  // namespace
