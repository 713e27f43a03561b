// Causal grouped-query attention over packed projections, rotary positions included. Packed rows
// are [q; k; v] as in ParameterStore::attention_pack: (heads + 2 kv_heads) * head_dim columns.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/rope_table.h"

namespace skarv {

struct AttentionShape {
  int64_t num_heads, num_kv_heads, head_dim;
  int64_t packed() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
};

// Of ATen operations, differentiable by autograd: for every device. qkv [b, t, packed] ->
// [b, t, heads * head_dim].
at::Tensor composite_attention(const at::Tensor& qkv, const AttentionShape& shape,
                               const RopeTable& rope);

// By fused CPU kernels and libtorch's flash attention, without autograd.
struct FusedAttention {
  at::Tensor out;      // [b, t, heads * head_dim]
  at::Tensor q, k, v;  // [b, h, t, d], turned
  at::Tensor log_sum;  // of the softmax, as flash attention keeps it
};
FusedAttention fused_attention(const at::Tensor& qkv, const AttentionShape& shape,
                               const RopeTable& rope);
// The gradient of qkv, packed like it.
at::Tensor fused_attention_backward(const at::Tensor& d_out, const FusedAttention& forward,
                                    const RopeTable& rope);

}  // namespace skarv
