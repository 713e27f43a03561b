#include "model/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "model/kernels/dispatch.h"
#include "model/parallel.h"
#include "model/tensor_index.h"

namespace skarv {
namespace {

Weight weight_of(const ParameterStore& store, int tensor) {
  const Parameter& parameter = store.parameter(tensor);
  return {parameter.value, parameter.gradient};
}

Weight weight_of(const ParameterStore::Pack& pack) { return {pack.value, pack.gradient}; }

}  // namespace

Decoder::Decoder(const ParameterStore& store, int first, int last, Recompute recompute)
    : model_(store.model()),
      first_(first),
      last_(last),
      recompute_(recompute),
      device_(store.device()),
      shape_{model_.num_heads, model_.num_kv_heads, model_.head_dim},
      rope_(model_.context, model_.head_dim, model_.rope_theta, store.device()) {
  TORCH_CHECK(0 <= first && first < last && last <= model_.num_layers(), "no layers [", first, ", ",
              last, ") in a model of ", model_.num_layers());
  const TensorIndex index = index_tensors(model_, tensors_of(model_));
  if (has_embedding()) embedding_ = weight_of(store, index.embedding);
  if (has_head()) {
    final_norm_ = weight_of(store, index.final_norm);
    head_ = weight_of(store, index.head);
  }
  for (int layer = std::max(first, 1); layer < std::min(last, model_.head_layer()); ++layer) {
    const BlockTensors& tensors = index.blocks[layer - 1];
    blocks_.push_back({.attention_norm = weight_of(store, tensors.attention_norm),
                       .qkv = weight_of(store.attention_pack(layer)),
                       .output = weight_of(store, tensors.output),
                       .mlp_norm = weight_of(store, tensors.mlp_norm),
                       .gate_up = weight_of(store.mlp_pack(layer)),
                       .down = weight_of(store, tensors.down)});
  }
}

at::Tensor Decoder::embed(const at::Tensor& tokens_bt) const {
  return at::embedding(embedding_.value, tokens_bt);
}

void Decoder::embed_backward(const at::Tensor& tokens_bt, const at::Tensor& dx_btc) const {
  const at::Tensor rows = dx_btc.reshape({-1, model_.hidden}).to(c10::kFloat);
  const at::Tensor ids = tokens_bt.reshape({-1});
  if (kernel_path_of(dx_btc) == KernelPath::kComposite) {
    embedding_.gradient.index_add_(0, ids, rows);
    return;
  }
  const at::Tensor dense = rows.contiguous(), dense_ids = ids.contiguous();
  const float* from = dense.const_data_ptr<float>();
  const int64_t* id = dense_ids.const_data_ptr<int64_t>();
  float* table = embedding_.gradient.mutable_data_ptr<float>();
  // Threads share columns, not rows: a token that occurs twice stays with one thread.
  at::parallel_for(0, model_.hidden, 64, [&](int64_t begin, int64_t end) {
    kernels::best().scatter_add(from, id, ids.numel(), model_.hidden, begin, end, table);
  });
}

Decoder::Stream Decoder::run_block(const Block& block, const Stream& in,
                                   const WeightGradientsPtr& gradients, KernelPath path) const {
  const double epsilon = model_.rms_epsilon;
  const Normed first = add_rms_norm(in.residual, in.delta, block.attention_norm, epsilon, path);
  const at::Tensor qkv = linear(first.normed, block.qkv, gradients);
  const at::Tensor mixed = linear(attention(qkv, shape_, rope_, path), block.output, gradients);
  const Normed second = add_rms_norm(first.sum, mixed, block.mlp_norm, epsilon, path);
  const at::Tensor gate_up = linear(second.normed, block.gate_up, gradients);
  return {second.sum, linear(swiglu(gate_up, path), block.down, gradients)};
}

at::Tensor Decoder::run(const at::Tensor& x_btc, const WeightGradientsPtr& gradients) {
  if (x_btc.size(1) > rope_.num_positions()) {
    rope_ = RopeTable(x_btc.size(1), model_.head_dim, model_.rope_theta, device_);
  }
  const KernelPath path = kernel_path_of(x_btc);
  Stream stream{x_btc, at::Tensor()};
  for (const Block& block : blocks_) {
    if (recompute_ == Recompute::kFull) {
      // Only one tensor is kept per block, so the addition is not left to the next block.
      stream.residual =
          recomputed(stream.residual, [this, &block, gradients, path](const at::Tensor& x) {
            const Stream out = run_block(block, {x, at::Tensor()}, gradients, path);
            return out.residual + out.delta;
          });
    } else {
      stream = run_block(block, stream, gradients, path);
    }
  }
  if (has_head()) {
    return add_rms_norm(stream.residual, stream.delta, final_norm_, model_.rms_epsilon, path)
        .normed;
  }
  return stream.delta.defined() ? stream.residual + stream.delta : stream.residual;
}

}  // namespace skarv
