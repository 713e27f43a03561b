// The layers of a stage as functions of activations: what is computed, without bookkeeping of
// microbatches. Differentiable where grad mode is on.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/functions.h"
#include "model/parameters.h"
#include "model/rope_table.h"
#include "spec/plan.h"

namespace skarv {

// One thread. `store` outlives it and every graph that it built.
class Decoder {
 public:
  // Throws when the store lacks a tensor of layers [first, last).
  Decoder(const ParameterStore& store, int first, int last, Recompute recompute);

  bool has_embedding() const { return first_ == 0; }
  bool has_head() const { return last_ == model_.num_layers(); }
  const Model& model() const { return model_; }

  at::Tensor embed(const at::Tensor& tokens_bt) const;
  // Adds the gradient of the embedding's output to the embedding's gradient.
  void embed_backward(const at::Tensor& tokens_bt, const at::Tensor& dx_btc) const;
  // The blocks of the stage, and the final norm when it has the head.
  at::Tensor run(const at::Tensor& x_btc, const WeightGradientsPtr& gradients);
  const Weight& head() const { return head_; }

 private:
  struct Block {
    Weight attention_norm, qkv, output, mlp_norm, gate_up, down;
  };
  // The residual stream between layers: its value is residual + delta (delta may be undefined).
  struct Stream {
    at::Tensor residual, delta;
  };
  Stream run_block(const Block& block, const Stream& in, const WeightGradientsPtr& gradients,
                   KernelPath path) const;

  const Model model_;
  const int first_, last_;
  const Recompute recompute_;
  const c10::Device device_;
  const AttentionShape shape_;
  Weight embedding_, final_norm_, head_;  // undefined where the stage does not have them
  std::vector<Block> blocks_;
  RopeTable rope_;  // replaced when a longer sample comes
};

}  // namespace skarv
