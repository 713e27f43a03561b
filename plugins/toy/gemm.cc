// Goto and van de Geijn, "Anatomy of high-performance matrix multiplication": blocks of a and b are
// packed so that a small tile of c stays in registers while it runs down the depth.
#include "gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "clones.h"

namespace toy {
namespace {

constexpr int64_t kLane = 16;     // floats in one vector of 64 bytes
constexpr int64_t kTileRows = 6;  // 6 x 2 vectors of sums, 2 of b, 1 of a: 15 registers
constexpr int64_t kTileColumns = 2 * kLane;
constexpr int64_t kBlockDepth = 256;
constexpr int64_t kBlockRows = 16 * kTileRows;        // packed a: 96 KiB, stays in the second cache
constexpr int64_t kBlockColumns = 32 * kTileColumns;  // packed b: 1 MiB

using Vector = float __attribute__((vector_size(kLane * sizeof(float))));

// sums (6 x 32) = a (depth x 6, packed) * b (depth x 32, packed).
TOY_LOOP void multiply_tile(const float* a, const float* b, int64_t depth, float* sums) {
  Vector tile[kTileRows][2] = {};
  for (int64_t k = 0; k < depth; ++k, a += kTileRows, b += kTileColumns) {
    Vector left, right;
    std::memcpy(&left, b, sizeof(left));
    std::memcpy(&right, b + kLane, sizeof(right));
#pragma GCC unroll 6
    for (int64_t i = 0; i < kTileRows; ++i) {
      tile[i][0] += a[i] * left;
      tile[i][1] += a[i] * right;
    }
  }
  std::memcpy(sums, tile, sizeof(tile));
}

// Strips of `strip` rows of m, one depth after the other within a strip; missing rows are zero.
void pack(Matrix m, int64_t num_rows, int64_t depth, int64_t strip, float scale, float* packed) {
  for (int64_t row = 0; row < num_rows; row += strip) {
    const int64_t num_present = std::min(strip, num_rows - row);
    if (num_present < strip) std::fill(packed, packed + strip * depth, 0.0f);
    const float* const from = m.data + row * m.row_stride;
    // Along whichever direction lies densely in memory.
    if (m.row_stride == 1) {
      for (int64_t k = 0; k < depth; ++k) {
        const float* const column = from + k * m.column_stride;
        for (int64_t i = 0; i < num_present; ++i) packed[k * strip + i] = scale * column[i];
      }
    } else {
      for (int64_t i = 0; i < num_present; ++i) {
        const float* const line = from + i * m.row_stride;
        for (int64_t k = 0; k < depth; ++k)
          packed[k * strip + i] = scale * line[k * m.column_stride];
      }
    }
    packed += strip * depth;
  }
}

void add_tile(const float* sums, float* c, int64_t row_stride, int64_t num_rows,
              int64_t num_columns) {
  for (int64_t i = 0; i < num_rows; ++i) {
    for (int64_t j = 0; j < num_columns; ++j) c[i * row_stride + j] += sums[i * kTileColumns + j];
  }
}

Matrix moved(Matrix m, int64_t row, int64_t column) {
  return {m.data + row * m.row_stride + column * m.column_stride, m.row_stride, m.column_stride};
}

Matrix transposed(Matrix m) { return {m.data, m.column_stride, m.row_stride}; }

}  // namespace

void gemm(Matrix a, Matrix b, float* c, int64_t c_row_stride, int64_t first_row, int64_t last_row,
          int64_t num_columns, int64_t depth, float alpha) {
  thread_local std::vector<float> packed_a(kBlockRows * kBlockDepth);
  thread_local std::vector<float> packed_b(kBlockColumns * kBlockDepth);
  alignas(64) float sums[kTileRows * kTileColumns];
  for (int64_t column = 0; column < num_columns; column += kBlockColumns) {
    const int64_t columns = std::min(kBlockColumns, num_columns - column);
    for (int64_t k = 0; k < depth; k += kBlockDepth) {
      const int64_t depths = std::min(kBlockDepth, depth - k);
      pack(transposed(moved(b, k, column)), columns, depths, kTileColumns, 1.0f, packed_b.data());
      for (int64_t row = first_row; row < last_row; row += kBlockRows) {
        const int64_t rows = std::min(kBlockRows, last_row - row);
        pack(moved(a, row, k), rows, depths, kTileRows, alpha, packed_a.data());
        for (int64_t j = 0; j < columns; j += kTileColumns) {
          for (int64_t i = 0; i < rows; i += kTileRows) {
            multiply_tile(packed_a.data() + i * depths, packed_b.data() + j * depths, depths, sums);
            add_tile(sums, c + (row + i) * c_row_stride + column + j, c_row_stride,
                     std::min(kTileRows, rows - i), std::min(kTileColumns, columns - j));
          }
        }
      }
    }
  }
}

}  // namespace toy
