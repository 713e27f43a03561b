#include "model/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/IListRef.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "model/kernels/dispatch.h"
#include "model/parallel.h"

namespace skarv {
namespace {

// x [b, h, t, d]. Splitting, not slicing: the backward of a slice fills a whole tensor with zeros.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos_td, const at::Tensor& sin_td) {
  const std::vector<at::Tensor> halves = x.split(x.size(-1) / 2, -1);
  return x * cos_td + at::cat({-halves[1], halves[0]}, -1) * sin_td;
}

// x [b, h, t, d] with dense d.
kernels::Heads heads_of(const at::Tensor& x) {
  return {const_cast<float*>(x.const_data_ptr<float>()), x.size(1), x.stride(0), x.stride(1),
          x.stride(2)};
}

at::Tensor dense_rows(const at::Tensor& x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

}  // namespace

FusedAttention fused_attention(const at::Tensor& qkv, const AttentionShape& shape,
                               const RopeTable& rope) {
  const at::Tensor packed = qkv.contiguous();
  const int64_t b = packed.size(0), t = packed.size(1), d = shape.head_dim;
  FusedAttention out;
  out.q = at::empty({b, shape.num_heads, t, d}, packed.options());
  out.k = at::empty({b, shape.num_kv_heads, t, d}, packed.options());
  out.v = at::empty({b, shape.num_kv_heads, t, d}, packed.options());
  const kernels::Heads q = heads_of(out.q), k = heads_of(out.k), v = heads_of(out.v);
  const float* from = packed.const_data_ptr<float>();
  const float* cosine = rope.cos_th.const_data_ptr<float>();
  const float* sine = rope.sin_th.const_data_ptr<float>();
  for_row_ranges(b * t, shape.packed(), [&](int64_t begin, int64_t end) {
    kernels::best().rope_forward(from, cosine, sine, {t, d, begin, end}, q, k, v);
  });
  at::Tensor mixed;
  std::tie(mixed, out.log_sum) = at::_scaled_dot_product_flash_attention_for_cpu(
      out.q, out.k, out.v, /*dropout_p=*/0.0, /*is_causal=*/true);
  out.out = mixed.transpose(1, 2).reshape({b, t, shape.num_heads * d});
  return out;
}

at::Tensor fused_attention_backward(const at::Tensor& d_out, const FusedAttention& forward,
                                    const RopeTable& rope) {
  const int64_t b = d_out.size(0), t = d_out.size(1), d = forward.q.size(3);
  const auto as_heads = [&](const at::Tensor& x) { return x.view({b, t, -1, d}).transpose(1, 2); };
  const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      as_heads(d_out.contiguous()), forward.q, forward.k, forward.v, as_heads(forward.out),
      forward.log_sum, /*dropout_p=*/0.0, /*is_causal=*/true);
  const at::Tensor q = dense_rows(dq), k = dense_rows(dk), v = dense_rows(dv);
  const kernels::Heads d_q = heads_of(q), d_k = heads_of(k), d_v = heads_of(v);
  const int64_t packed = (q.size(1) + k.size(1) + v.size(1)) * d;
  at::Tensor d_qkv = at::empty({b, t, packed}, d_out.options());
  float* to = d_qkv.mutable_data_ptr<float>();
  const float* cosine = rope.cos_th.const_data_ptr<float>();
  const float* sine = rope.sin_th.const_data_ptr<float>();
  for_row_ranges(b * t, packed, [&](int64_t begin, int64_t end) {
    kernels::best().rope_backward(d_q, d_k, d_v, cosine, sine, {t, d, begin, end}, to);
  });
  return d_qkv;
}

at::Tensor composite_attention(const at::Tensor& qkv, const AttentionShape& shape,
                               const RopeTable& rope) {
  const int64_t b = qkv.size(0), t = qkv.size(1);
  const auto [num_heads, num_kv_heads, head_dim] = shape;
  const std::vector<at::Tensor> parts =
      qkv.view({b, t, num_heads + 2 * num_kv_heads, head_dim})
          .split_with_sizes({num_heads, num_kv_heads, num_kv_heads}, 2);
  const at::Tensor cos_th = rope.cos_th.narrow(0, 0, t).to(qkv.scalar_type());
  const at::Tensor sin_th = rope.sin_th.narrow(0, 0, t).to(qkv.scalar_type());
  const at::Tensor cos_td = at::cat({cos_th, cos_th}, -1);
  const at::Tensor sin_td = at::cat({sin_th, sin_th}, -1);
  const at::Tensor q = rotate(parts[0].transpose(1, 2), cos_td, sin_td);
  const at::Tensor k = rotate(parts[1].transpose(1, 2), cos_td, sin_td);
  const at::Tensor v = parts[2].transpose(1, 2);
  const at::Tensor out =
      at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                       /*is_causal=*/true, /*scale=*/std::nullopt,
                                       /*enable_gqa=*/num_heads != num_kv_heads);
  return out.transpose(1, 2).reshape({b, t, num_heads * head_dim});
}

}  // namespace skarv
