// Softmax cross-entropy and its gradient in place; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/exponential_body.h"

namespace {

double cross_entropy(float* logits, const int64_t* targets, int64_t rows, int64_t v, float scale) {
  constexpr int64_t kBlock = 2048;  // fp32 partial sums stay short, however large the vocabulary
  double loss = 0;
  for (int64_t row = 0; row < rows; ++row) {
    float* x = logits + row * v;
    float largest = x[0];
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < v; ++i) largest = x[i] > largest ? x[i] : largest;
    const float wanted = x[targets[row]];
    double total = 0;
    for (int64_t begin = 0; begin < v; begin += kBlock) {
      const int64_t end = begin + kBlock < v ? begin + kBlock : v;
      float part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t i = begin; i < end; ++i) {
        const float e = exponential(x[i] - largest);
        x[i] = e;
        part += e;
      }
      total += part;
    }
    loss += __builtin_log(total) + (static_cast<double>(largest) - wanted);
    if (scale == 0) continue;
    const float factor = static_cast<float>(scale / total);
#pragma omp simd
    for (int64_t i = 0; i < v; ++i) x[i] *= factor;
    x[targets[row]] -= scale;
  }
  return loss;
}

}  // namespace
