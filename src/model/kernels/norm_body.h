// RMSNorm with residual addition; see table.h.
#pragma once

#include <stdint.h>

namespace {

// The sum is finished before the statistics are taken, so that a sum that was formed elsewhere
// (at a cut between stages) gives the same bits.
void norm_forward(const float* residual, const float* delta, const float* weight, float epsilon,
                  int64_t rows, int64_t c, float* sum, float* normed, float* inverse) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* x = residual + row * c;
    if (delta != nullptr) {
      const float* d = delta + row * c;
      float* s = sum + row * c;
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) s[i] = x[i] + d[i];
      x = s;
    }
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; ++i) squares += x[i] * x[i];
    const float r = 1.0f / __builtin_sqrtf(squares / static_cast<float>(c) + epsilon);
    inverse[row] = r;
    float* y = normed + row * c;
#pragma omp simd
    for (int64_t i = 0; i < c; ++i) y[i] = weight[i] * (x[i] * r);
  }
}

void norm_backward(const float* d_normed, const float* d_sum, const float* sum,
                   const float* inverse, const float* weight, int64_t rows, int64_t c, float* dx,
                   float* d_weight) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* dy = d_normed + row * c;
    const float* x = sum + row * c;
    const float r = inverse[row];
    float projection = 0;
#pragma omp simd reduction(+ : projection)
    for (int64_t i = 0; i < c; ++i) projection += dy[i] * weight[i] * x[i];
    const float slope = projection * r * r / static_cast<float>(c);
    float* out = dx + row * c;
    if (d_sum != nullptr) {
      const float* ds = d_sum + row * c;
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) {
        out[i] = ds[i] + r * (dy[i] * weight[i] - x[i] * slope);
        d_weight[i] += dy[i] * (x[i] * r);
      }
    } else {
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) {
        out[i] = r * (dy[i] * weight[i] - x[i] * slope);
        d_weight[i] += dy[i] * (x[i] * r);
      }
    }
  }
}

}  // namespace
