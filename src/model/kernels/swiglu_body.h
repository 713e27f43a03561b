// SwiGLU on packed rows; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/exponential_body.h"

namespace {

void swiglu_forward(const float* gate_up, int64_t rows, int64_t f, float* out) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * f;
    const float* up = gate + f;
    float* y = out + row * f;
#pragma omp simd
    for (int64_t i = 0; i < f; ++i) y[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
  }
}

void swiglu_backward(const float* d_out, const float* gate_up, int64_t rows, int64_t f,
                     float* d_gate_up) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * f;
    const float* up = gate + f;
    const float* dy = d_out + row * f;
    float* d_gate = d_gate_up + row * 2 * f;
    float* d_up = d_gate + f;
#pragma omp simd
    for (int64_t i = 0; i < f; ++i) {
      const float g = gate[i];
      const float sigmoid = 1.0f / (1.0f + exponential(-g));
      const float silu = g * sigmoid;
      d_gate[i] = dy[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
      d_up[i] = dy[i] * silu;
    }
  }
}

}  // namespace
