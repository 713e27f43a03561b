// Rotary positions while unpacking projections, and back; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/table.h"

namespace {

using skarv::kernels::Heads;
using skarv::kernels::RopeShape;

float* head_of(const Heads& heads, int64_t batch, int64_t head, int64_t token) {
  return heads.data + batch * heads.batch_stride + head * heads.head_stride +
         token * heads.token_stride;
}

// (x1, x2) by the angle whose sine has the given sign.
void turn(const float* in, const float* cosine, const float* sine, float sign, int64_t half,
          float* out) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float s = sign * sine[i];
    const float first = in[i], second = in[i + half];
    out[i] = first * cosine[i] - second * s;
    out[i + half] = second * cosine[i] + first * s;
  }
}

void copy(const float* in, int64_t num, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < num; ++i) out[i] = in[i];
}

void rope_forward(const float* packed, const float* cosine, const float* sine,
                  const RopeShape& shape, const Heads& q, const Heads& k, const Heads& v) {
  const int64_t d = shape.head_dim, half = d / 2;
  const int64_t width = (q.num_heads + k.num_heads + v.num_heads) * d;
  for (int64_t row = shape.begin; row < shape.end; ++row) {
    const int64_t batch = row / shape.num_tokens, token = row % shape.num_tokens;
    const float* c = cosine + token * half;
    const float* s = sine + token * half;
    const float* in = packed + row * width;
    for (int64_t h = 0; h < q.num_heads; ++h, in += d) {
      turn(in, c, s, 1.0f, half, head_of(q, batch, h, token));
    }
    for (int64_t h = 0; h < k.num_heads; ++h, in += d) {
      turn(in, c, s, 1.0f, half, head_of(k, batch, h, token));
    }
    for (int64_t h = 0; h < v.num_heads; ++h, in += d) copy(in, d, head_of(v, batch, h, token));
  }
}

void rope_backward(const Heads& dq, const Heads& dk, const Heads& dv, const float* cosine,
                   const float* sine, const RopeShape& shape, float* d_packed) {
  const int64_t d = shape.head_dim, half = d / 2;
  const int64_t width = (dq.num_heads + dk.num_heads + dv.num_heads) * d;
  for (int64_t row = shape.begin; row < shape.end; ++row) {
    const int64_t batch = row / shape.num_tokens, token = row % shape.num_tokens;
    const float* c = cosine + token * half;
    const float* s = sine + token * half;
    float* out = d_packed + row * width;
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
