// RMSNorm with residual addition; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/storage_body.h"

namespace {

// The sum is finished before the statistics are taken, so that a sum that was formed elsewhere
// (at a cut between stages) gives the same bits.
template <typename T>
void norm_forward(const T* residual, const T* delta, const T* weight, float epsilon, int64_t rows,
                  int64_t c, T* sum, T* normed, float* inverse) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = residual + row * c;
    if (delta != nullptr) {
      const T* d = delta + row * c;
      T* s = sum + row * c;
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) s[i] = store<T>(load(x[i]) + load(d[i]));
      x = s;
    }
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; ++i) squares += load(x[i]) * load(x[i]);
    const float r = 1.0f / __builtin_sqrtf(squares / static_cast<float>(c) + epsilon);
    inverse[row] = r;
    T* y = normed + row * c;
#pragma omp simd
    for (int64_t i = 0; i < c; ++i) {
      y[i] = store<T>(load(weight[i]) * load(store<T>(load(x[i]) * r)));
    }
  }
}

template <typename T>
void norm_backward(const T* d_normed, const T* d_sum, const T* sum, const float* inverse,
                   const T* weight, int64_t rows, int64_t c, T* dx, float* d_weight) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* dy = d_normed + row * c;
    const T* x = sum + row * c;
    const float r = inverse[row];
    float projection = 0;
#pragma omp simd reduction(+ : projection)
    for (int64_t i = 0; i < c; ++i) {
      projection += load(dy[i]) * load(weight[i]) * load(x[i]);
    }
    const float slope = projection * r * r / static_cast<float>(c);
    T* out = dx + row * c;
    if (d_sum != nullptr) {
      const T* ds = d_sum + row * c;
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) {
        const float g = load(dy[i]), value = load(x[i]);
        out[i] = store<T>(load(ds[i]) + r * (g * load(weight[i]) - value * slope));
        d_weight[i] += g * (value * r);
      }
    } else {
#pragma omp simd
      for (int64_t i = 0; i < c; ++i) {
        const float g = load(dy[i]), value = load(x[i]);
        out[i] = store<T>(r * (g * load(weight[i]) - value * slope));
        d_weight[i] += g * (value * r);
      }
    }
  }
}

}  // namespace
