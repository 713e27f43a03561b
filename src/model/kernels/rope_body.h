// Rotary positions while unpacking projections, and back; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/storage_body.h"

namespace {

using skarv::kernels::Heads;
using skarv::kernels::RopeShape;

template <typename T>
T* head_of(const Heads<T>& heads, int64_t batch, int64_t head, int64_t token) {
  return heads.data + batch * heads.batch_stride + head * heads.head_stride +
         token * heads.token_stride;
}

// (x1, x2) by the angle whose sine has the given sign.
template <typename T>
void turn(const T* in, const float* cosine, const float* sine, float sign, int64_t half, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float s = sign * sine[i];
    const float first = load(in[i]), second = load(in[i + half]);
    out[i] = store<T>(first * cosine[i] - second * s);
    out[i + half] = store<T>(second * cosine[i] + first * s);
  }
}

template <typename T>
void copy(const T* in, int64_t num, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < num; ++i) out[i] = in[i];
}

template <typename T>
void rope_forward(const T* packed, const float* cosine, const float* sine, const RopeShape& shape,
                  const Heads<T>& q, const Heads<T>& k, const Heads<T>& v) {
  const int64_t d = shape.head_dim, half = d / 2;
  const int64_t width = (q.num_heads + k.num_heads + v.num_heads) * d;
  for (int64_t row = shape.begin; row < shape.end; ++row) {
    const int64_t batch = row / shape.num_tokens, token = row % shape.num_tokens;
    const float* c = cosine + token * half;
    const float* s = sine + token * half;
    const T* in = packed + row * width;
    for (int64_t h = 0; h < q.num_heads; ++h, in += d) {
      turn(in, c, s, 1.0f, half, head_of(q, batch, h, token));
    }
    for (int64_t h = 0; h < k.num_heads; ++h, in += d) {
      turn(in, c, s, 1.0f, half, head_of(k, batch, h, token));
    }
    for (int64_t h = 0; h < v.num_heads; ++h, in += d) copy(in, d, head_of(v, batch, h, token));
  }
}

template <typename T>
void rope_backward(const Heads<T>& dq, const Heads<T>& dk, const Heads<T>& dv, const float* cosine,
                   const float* sine, const RopeShape& shape, T* d_packed) {
  const int64_t d = shape.head_dim, half = d / 2;
  const int64_t width = (dq.num_heads + dk.num_heads + dv.num_heads) * d;
  for (int64_t row = shape.begin; row < shape.end; ++row) {
    const int64_t batch = row / shape.num_tokens, token = row % shape.num_tokens;
    const float* c = cosine + token * half;
    const float* s = sine + token * half;
    T* out = d_packed + row * width;
    for (int64_t h = 0; h < dq.num_heads; ++h, out += d) {
      turn(head_of(dq, batch, h, token), c, s, -1.0f, half, out);
    }
    for (int64_t h = 0; h < dk.num_heads; ++h, out += d) {
      turn(head_of(dk, batch, h, token), c, s, -1.0f, half, out);
    }
    for (int64_t h = 0; h < dv.num_heads; ++h, out += d) copy(head_of(dv, batch, h, token), d, out);
  }
}

}  // namespace
