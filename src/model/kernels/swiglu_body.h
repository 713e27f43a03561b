// SwiGLU on packed rows; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/exponential_body.h"
#include "model/kernels/storage_body.h"

namespace {

template <typename T>
void swiglu_forward(const T* gate_up, int64_t rows, int64_t f, T* out) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    T* y = out + row * f;
#pragma omp simd
    for (int64_t i = 0; i < f; ++i) {
      const float g = load(gate[i]);
      y[i] = store<T>(g / (1.0f + exponential(-g)) * load(up[i]));
    }
  }
}

template <typename T>
void swiglu_backward(const T* d_out, const T* gate_up, int64_t rows, int64_t f, T* d_gate_up) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    const T* dy = d_out + row * f;
    T* d_gate = d_gate_up + row * 2 * f;
    T* d_up = d_gate + f;
#pragma omp simd
    for (int64_t i = 0; i < f; ++i) {
      const float g = load(gate[i]), d = load(dy[i]);
      const float sigmoid = 1.0f / (1.0f + exponential(-g));
      const float silu = g * sigmoid;
      d_gate[i] = store<T>(d * load(up[i]) * (sigmoid + silu * (1.0f - sigmoid)));
      d_up[i] = store<T>(d * silu);
    }
  }
}

}  // namespace
