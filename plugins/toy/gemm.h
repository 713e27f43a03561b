// Matrix products of the toy: fp32, any strides, host pointers, no libtorch.
#pragma once

#include <cstdint>

namespace toy {

// Element (i, j) at data[i * row_stride + j * column_stride].
struct Matrix {
  const float* data;
  int64_t row_stride, column_stride;
};

// c += alpha * a * b for rows [first_row, last_row) of c; a has `depth` columns, c `num_columns` of
// stride 1. The order of sums depends on `depth` alone: how rows are shared among threads does not
// change a bit. Each calling thread keeps about 1 MB to pack into.
void gemm(Matrix a, Matrix b, float* c, int64_t c_row_stride, int64_t first_row, int64_t last_row,
          int64_t num_columns, int64_t depth, float alpha);

}  // namespace toy
