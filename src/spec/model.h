// The model as data: a Llama-style decoder, its layers and its named tensors. Everything that does
// not depend on a plan or a device follows from here: parameter names (Hugging Face), shapes,
// initial values, slabs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"

namespace skarv {

// Layers are counted as the plan counts them: 0 the embedding, 1..num_blocks the blocks,
// num_blocks + 1 the head (final norm and output projection).
struct Model {
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t num_blocks = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // grouped-query attention; divides num_heads
  int64_t head_dim = 0;
  int64_t ffn = 0;      // width of SwiGLU
  int64_t context = 0;  // tokens of a training sample
  double rope_theta = 10000.0;
  double rms_epsilon = 1e-5;
  bool tied_head = false;  // the head multiplies by the embedding

  bool operator==(const Model&) const = default;
  int num_layers() const { return static_cast<int>(num_blocks) + 2; }
  int head_layer() const { return static_cast<int>(num_blocks) + 1; }
};

// One named parameter tensor, row-major.
struct TensorSpec {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;
  int layer;             // that uses it
  int second_layer;      // the other one that uses it (tied embedding: the head), or -1
  bool decays;           // weight decay applies: matrices, not norms
  float init_deviation;  // of the normal initial values; 0 means filled with ones

  int64_t num_elements() const;
  bool used_by(int layer_index) const {
    return layer == layer_index || second_layer == layer_index;
  }
};

// Refuses sizes that do not fit together (heads, even head_dim, positive, below 2^31), saying what
// to change. `origin` is where the model was read.
Status check_model(const Model& model, const std::string& origin);

// All tensors in canonical order: by layer, then as Hugging Face lists them. Names follow
// transformers' LlamaForCausalLM.
std::vector<TensorSpec> tensors_of(const Model& model);
int64_t num_parameters(const Model& model);

// Values [begin, begin + out.size()) of a tensor in row-major order: a pure function of seed, name
// and index, the same on every machine (protocol.md, 8).
void initial_values(const TensorSpec& tensor, uint64_t seed, int64_t begin, std::span<float> out);

// Forward FLOPs per token of one layer, matrix products and attention (2 per multiply-add; the
// causal half counted as half). Source: Megatron-LM, 2104.04473, appendix, without recomputation.
double forward_flops_per_token(const Model& model, int layer);

// Covers everything that must be equal on all sites.
Digest digest_of(const Model& model);

// Skarv's own form and Hugging Face's config.json (LlamaConfig and compatible). Context is not in
// the latter beyond max_position_embeddings.
Json to_json(const Model& model);
Result<Model> model_from_json(const Json& json, const std::string& origin);
Result<Model> model_from_hugging_face(const std::filesystem::path& config_json);
Json to_hugging_face(const Model& model);

}  // namespace skarv
