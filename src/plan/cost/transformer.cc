#include "plan/cost/transformer.h"

namespace skarv {
namespace {

// Passes of the elementwise operations over memory, read and write counted each, by the width of
// what they pass over: two norms and two bias-dropout-residuals over the hidden state; bias and
// transposes over queries, keys and values; bias and activation over the feed-forward width. With
// separate attention the scores are written, masked, normalised, dropped and read again.
struct Passes {
  double hidden, qkv, ffn, scores;
};
constexpr Passes kForward = {11, 3, 4, 6.5};
constexpr Passes kBackward = {11, 3, 5, 9.5};

// Launches of a layer in an eager framework.
constexpr int kBlockForward = 25, kBlockBackward = 45;
constexpr int kHeadForward = 12, kHeadBackward = 24;
constexpr int kEmbeddingForward = 8, kEmbeddingBackward = 16;

// Loss over the vocabulary: logits in compute precision, softmax and its gradient in fp32.
constexpr double kLogitBytesForward = 12, kLogitBytesBackward = 22;

constexpr double kUpdateBytes = 32;  // of one parameter: 4 x 4 read, 3 x 4 + 2 written, 2 read

double moved(const Passes& passes, const TransformerShape& shape, double tokens,
             double tensor_parallel) {
  const auto qkv = static_cast<double>((shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  const double ffn = static_cast<double>(shape.ffn) * (shape.gated_ffn ? 1.5 : 1);
  double elements = tokens * (passes.hidden * static_cast<double>(shape.hidden) +
                              (passes.qkv * qkv + passes.ffn * ffn) / tensor_parallel);
  if (!shape.fused_attention) {
    elements += passes.scores * tokens * static_cast<double>(shape.sequence * shape.num_heads) /
                tensor_parallel;
  }
  return elements * shape.element_bytes;
}

bool is_misaligned(const TransformerShape& shape, int64_t dimension) {
  return dimension * shape.element_bytes % 16 != 0;
}

// Halves a backward pass: its products, passes and launches; the reduction stands with the inputs.
void set_backward(LayerWork& work, PassWork backward) {
  work.backward_input = backward;
  work.backward_input.matmul_flops /= 2;
  work.backward_input.moved_bytes /= 2;
  work.backward_input.num_operations = (backward.num_operations + 1) / 2;
  work.backward_weight = work.backward_input;
  work.backward_weight.num_operations = backward.num_operations / 2;
  work.backward_weight.num_reductions = 0;
}

}  // namespace

TransformerShape TransformerShape::gpt(int64_t hidden, int64_t num_heads, int64_t vocabulary,
                                       int64_t sequence) {
  TransformerShape shape;
  shape.hidden = hidden;
  shape.num_heads = shape.num_kv_heads = num_heads;
  shape.head_dim = hidden / num_heads;
  shape.ffn = 4 * hidden;
  shape.vocabulary = vocabulary;
  shape.sequence = sequence;
  return shape;
}

TransformerShape TransformerShape::of(const Model& model, int element_bytes) {
  return {model.hidden, model.num_heads,  model.num_kv_heads, model.head_dim, model.ffn,
          true,         model.vocabulary, model.context,      element_bytes,  true};
}

int64_t TransformerShape::block_parameters() const {
  const int64_t attention = hidden * head_dim * (2 * num_heads + 2 * num_kv_heads);
  return attention + (gated_ffn ? 3 : 2) * hidden * ffn;
}

LayerWork embedding_work(const TransformerShape& shape, int microbatch, int tensor_parallel) {
  const double tokens = static_cast<double>(microbatch) * static_cast<double>(shape.sequence);
  const double state = tokens * static_cast<double>(shape.hidden * shape.element_bytes);
  LayerWork work;
  work.forward.moved_bytes = 2 * state;
  work.forward.num_operations = kEmbeddingForward;
  work.forward.num_reductions = tensor_parallel > 1 ? 1 : 0;
  work.forward.reduced_bytes = static_cast<int64_t>(state);
  PassWork backward;
  backward.moved_bytes = 4 * state;
  backward.num_operations = kEmbeddingBackward;
  work.backward_weight = backward;  // there is no gradient of tokens
  work.kept_bytes = tokens * 8;
  return work;
}

LayerWork block_work(const TransformerShape& shape, int microbatch, int tensor_parallel) {
  const double tokens = static_cast<double>(microbatch) * static_cast<double>(shape.sequence);
  const double heads_width = static_cast<double>(shape.num_heads * shape.head_dim);
  const double scores =
      4 * static_cast<double>(shape.sequence) * heads_width * (shape.fused_attention ? 0.5 : 1);
  LayerWork work;
  PassWork& forward = work.forward;
  forward.matmul_flops =
      tokens * (2 * static_cast<double>(shape.block_parameters()) + scores) / tensor_parallel;
  forward.moved_bytes = moved(kForward, shape, tokens, tensor_parallel);
  forward.num_operations = kBlockForward;
  forward.num_reductions = tensor_parallel > 1 ? 2 : 0;
  forward.reduced_bytes = static_cast<int64_t>(tokens) * shape.hidden * shape.element_bytes;
  PassWork backward = forward;
  backward.matmul_flops *= 2;
  backward.moved_bytes = moved(kBackward, shape, tokens, tensor_parallel);
  backward.num_operations = kBlockBackward;
  set_backward(work, backward);
  // Inputs of both norms and of both pairs of matrices, queries, keys, values, activations.
  const double qkv =
      static_cast<double>((shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  const double inner =
      qkv + heads_width + static_cast<double>(shape.ffn) * (shape.gated_ffn ? 3 : 2) +
      (shape.fused_attention ? 0 : 2.5 * static_cast<double>(shape.sequence * shape.num_heads));
  work.kept_bytes = tokens * shape.element_bytes *
                    (4 * static_cast<double>(shape.hidden) + inner / tensor_parallel);
  return work;
}

LayerWork head_work(const TransformerShape& shape, int microbatch, int tensor_parallel) {
  const double tokens = static_cast<double>(microbatch) * static_cast<double>(shape.sequence);
  const int64_t columns = shape.vocabulary / tensor_parallel;
  const double logits = tokens * static_cast<double>(columns);
  LayerWork work;
  PassWork& forward = work.forward;
  forward.matmul_flops = 2 * logits * static_cast<double>(shape.hidden);
  forward.misaligned = is_misaligned(shape, columns);
  forward.moved_bytes = logits * kLogitBytesForward;
  forward.num_operations = kHeadForward;
  PassWork backward = forward;
  backward.matmul_flops *= 2;
  backward.moved_bytes = logits * kLogitBytesBackward;
  backward.num_operations = kHeadBackward;
  backward.num_reductions = tensor_parallel > 1 ? 1 : 0;
  backward.reduced_bytes = static_cast<int64_t>(tokens) * shape.hidden * shape.element_bytes;
  set_backward(work, backward);
  work.kept_bytes = logits * 4 + tokens * static_cast<double>(shape.hidden * shape.element_bytes);
  return work;
}

PassWork update_work(double num_parameters) {
  PassWork work;
  work.moved_bytes = num_parameters * kUpdateBytes;
  work.num_operations = 1;
  return work;
}

}  // namespace skarv
