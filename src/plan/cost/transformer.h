// What the layers of a decoder have to do: operations, bytes and messages of one microbatch on one
// device of a tensor-parallel group. Facts of the algorithm, no rates (plan/cost/roofline.h).
//
// Matrix products as in Megatron-LM (2104.04473, appendix); tensor parallelism as in 1909.08053:
// matrices are cut by columns, then by rows, with one all-reduce of the hidden state behind each
// pair in each direction. A backward pass does the products twice, for inputs and for weights.
#pragma once

#include <cstdint>

#include "spec/model.h"

namespace skarv {

struct TransformerShape {
  int64_t hidden = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t ffn = 0;
  bool gated_ffn = false;  // SwiGLU: three matrices instead of two
  int64_t vocabulary = 0;
  int64_t sequence = 0;
  int element_bytes = 2;
  // Scores never leave the chip, and what the mask hides is not computed (FlashAttention).
  bool fused_attention = false;

  static TransformerShape gpt(int64_t hidden, int64_t num_heads, int64_t vocabulary,
                              int64_t sequence);
  static TransformerShape of(const Model& model, int element_bytes);
  int64_t block_parameters() const;  // matrices only
};

struct PassWork {
  double matmul_flops = 0;
  bool misaligned = false;    // a dimension of its products is no multiple of 16 bytes
  double moved_bytes = 0;     // by all that is not a product
  int num_operations = 0;     // launched by the host
  int num_reductions = 0;     // all-reduces in the tensor-parallel group ...
  int64_t reduced_bytes = 0;  // ... of so many bytes each
};

struct LayerWork {
  PassWork forward, backward_input, backward_weight;
  double kept_bytes = 0;  // from forward to backward
};

LayerWork embedding_work(const TransformerShape& shape, int microbatch, int tensor_parallel);
LayerWork block_work(const TransformerShape& shape, int microbatch, int tensor_parallel);
LayerWork head_work(const TransformerShape& shape, int microbatch, int tensor_parallel);

// The optimizer step (AdamW with fp32 masters and fp16 or bf16 weights): fp32 gradient, master and
// two moments are read, three of them written, the weight written.
PassWork update_work(double num_parameters);

}  // namespace skarv
