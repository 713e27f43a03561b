#include "model/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/IListRef.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "model/elements.h"
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
template <typename T>
kernels::Heads<T> heads_of(const at::Tensor& x) {
  return {const_cast<T*>(elements<T>(x)), x.size(1), x.stride(0), x.stride(1), x.stride(2)};
}

// libtorch's flash attention in bf16 asks for a small product a block and head, each of which costs
// more to set up than to compute: in fp32 it is twice as fast.
at::Tensor wide(const at::Tensor& x) { return x.to(c10::kFloat); }

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
  const float* cosine = rope.cos_th.const_data_ptr<float>();
  const float* sine = rope.sin_th.const_data_ptr<float>();
  with_elements_of(packed, [&]<typename T>(T) {
    const kernels::Heads<T> q = heads_of<T>(out.q), k = heads_of<T>(out.k), v = heads_of<T>(out.v);
    const T* from = elements<T>(packed);
    for_row_ranges(b * t, shape.packed(), [&](int64_t begin, int64_t end) {
      kernels::best_for<T>().rope_forward(from, cosine, sine, {t, d, begin, end}, q, k, v);
    });
  });
  at::Tensor mixed;
  std::tie(mixed, out.log_sum) = at::_scaled_dot_product_flash_attention_for_cpu(
      wide(out.q), wide(out.k), wide(out.v), /*dropout_p=*/0.0, /*is_causal=*/true);
  out.out = mixed.to(packed.scalar_type()).transpose(1, 2).reshape({b, t, shape.num_heads * d});
  return out;
}

at::Tensor fused_attention_backward(const at::Tensor& d_out, const FusedAttention& forward,
                                    const RopeTable& rope) {
  const int64_t b = d_out.size(0), t = d_out.size(1), d = forward.q.size(3);
  const auto as_heads = [&](const at::Tensor& x) { return x.view({b, t, -1, d}).transpose(1, 2); };
  const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      wide(as_heads(d_out.contiguous())), wide(forward.q), wide(forward.k), wide(forward.v),
      wide(as_heads(forward.out)), forward.log_sum, /*dropout_p=*/0.0, /*is_causal=*/true);
  const auto narrow = [&](const at::Tensor& x) { return dense_rows(x).to(d_out.scalar_type()); };
  const at::Tensor q = narrow(dq), k = narrow(dk), v = narrow(dv);
  const int64_t packed = (q.size(1) + k.size(1) + v.size(1)) * d;
  at::Tensor d_qkv = at::empty({b, t, packed}, d_out.options());
  const float* cosine = rope.cos_th.const_data_ptr<float>();
  const float* sine = rope.sin_th.const_data_ptr<float>();
  with_elements_of(d_qkv, [&]<typename T>(T) {
    const kernels::Heads<T> d_q = heads_of<T>(q), d_k = heads_of<T>(k), d_v = heads_of<T>(v);
    T* to = mutable_elements<T>(d_qkv);
    for_row_ranges(b * t, packed, [&](int64_t begin, int64_t end) {
      kernels::best_for<T>().rope_backward(d_q, d_k, d_v, cosine, sine, {t, d, begin, end}, to);
    });
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
