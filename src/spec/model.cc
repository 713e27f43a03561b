#include "spec/model.h"

#include <cmath>

#include "base/random.h"
#include "base/text.h"
#include "spec/problem.h"

namespace skarv {
namespace {

constexpr int64_t kMaxSize = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxParameters = int64_t{1} << 44;
constexpr float kDeviation = 0.02f;

}  // namespace

int64_t TensorSpec::num_elements() const {
  int64_t product = 1;
  for (int64_t dim : shape) product *= dim;
  return product;
}

MaybeProblem problem_of(const Model& model) {
  const struct {
    const char* name;
    int64_t value;
  } sizes[] = {{"vocabulary", model.vocabulary},
               {"hidden", model.hidden},
               {"blocks", model.num_blocks},
               {"heads", model.num_heads},
               {"kv_heads", model.num_kv_heads},
               {"head_dim", model.head_dim},
               {"ffn", model.ffn},
               {"context", model.context}};
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > kMaxSize) {
      return Problem{name, cat(name, " is ", value, ", outside 1 to ", kMaxSize),
                     cat("set ", name)};
    }
  }
  if (model.num_heads % model.num_kv_heads != 0) {
    return Problem{
        "kv_heads",
        cat("kv_heads = ", model.num_kv_heads, " does not divide heads = ", model.num_heads),
        "choose kv_heads so that every one serves equally many heads"};
  }
  if (model.head_dim % 2 != 0) {
    return Problem{"head_dim", cat("head_dim = ", model.head_dim, " is odd"),
                   "rotary positions turn pairs of values: choose an even head_dim"};
  }
  if (model.num_heads > kMaxSize / model.head_dim) {
    return Problem{"heads", "heads * head_dim is more than 2^31", "choose fewer or smaller heads"};
  }
  if (model.num_blocks > 100000) {
    return Problem{"blocks", cat("blocks = ", model.num_blocks, " is more than 100000"),
                   "choose fewer blocks"};
  }
  if (!(model.rope_theta > 0) || !std::isfinite(model.rope_theta)) {
    return Problem{"rope_theta", cat("rope_theta is ", model.rope_theta), "choose a positive one"};
  }
  if (!(model.rms_epsilon > 0) || !(model.rms_epsilon < 1)) {
    return Problem{"rms_epsilon", cat("rms_epsilon is ", model.rms_epsilon),
                   "choose one between 0 and 1, such as 1e-5"};
  }
  const double hidden = static_cast<double>(model.hidden);
  const double attention = static_cast<double>(model.num_heads) * model.head_dim;
  const double total =
      hidden * model.vocabulary * 2 + model.num_blocks * hidden * (4 * attention + 3.0 * model.ffn);
  if (total > static_cast<double>(kMaxParameters)) {
    return Problem{"hidden", cat("about ", human_count(total), " parameters are more than 2^44"),
                   "choose a smaller model"};
  }
  return std::nullopt;
}

Status check_model(const Model& model, const std::string& origin) {
  return to_status(problem_of(model), origin);
}

std::vector<TensorSpec> tensors_of(const Model& model) {
  std::vector<TensorSpec> tensors;
  const int64_t hidden = model.hidden;
  const int64_t query = model.num_heads * model.head_dim;
  const int64_t key = model.num_kv_heads * model.head_dim;
  // Projections that write into the residual stream start smaller by sqrt(2 blocks), so that its
  // variance does not grow with depth (GPT-2; Megatron-LM). sqrt is exact to the last bit by IEEE.
  const float output_deviation =
      kDeviation / std::sqrt(2.0f * static_cast<float>(model.num_blocks));

  tensors.push_back({"model.embed_tokens.weight",
                     {model.vocabulary, hidden},
                     0,
                     model.tied_head ? model.head_layer() : -1,
                     true,
                     kDeviation});
  for (int block = 0; block < model.num_blocks; ++block) {
    const auto add = [&](const char* name, std::vector<int64_t> shape, float deviation) {
      const bool is_matrix = shape.size() == 2;
      tensors.push_back({cat("model.layers.", block, ".", name, ".weight"), std::move(shape),
                         block + 1, -1, is_matrix, deviation});
    };
    add("self_attn.q_proj", {query, hidden}, kDeviation);
    add("self_attn.k_proj", {key, hidden}, kDeviation);
    add("self_attn.v_proj", {key, hidden}, kDeviation);
    add("self_attn.o_proj", {hidden, query}, output_deviation);
    add("mlp.gate_proj", {model.ffn, hidden}, kDeviation);
    add("mlp.up_proj", {model.ffn, hidden}, kDeviation);
    add("mlp.down_proj", {hidden, model.ffn}, output_deviation);
    add("input_layernorm", {hidden}, 0);
    add("post_attention_layernorm", {hidden}, 0);
  }
  tensors.push_back({"model.norm.weight", {hidden}, model.head_layer(), -1, false, 0});
  if (!model.tied_head) {
    tensors.push_back(
        {"lm_head.weight", {model.vocabulary, hidden}, model.head_layer(), -1, true, kDeviation});
  }
  return tensors;
}

int64_t num_parameters(const Model& model) {
  int64_t total = 0;
  for (const TensorSpec& tensor : tensors_of(model)) total += tensor.num_elements();
  return total;
}

void initial_values(const TensorSpec& tensor, uint64_t seed, int64_t begin, std::span<float> out) {
  if (tensor.init_deviation == 0) {
    for (float& value : out) value = 1.0f;
    return;
  }
  const CounterRandom random(seed, tensor.name);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = random.normal(static_cast<uint64_t>(begin) + i) * tensor.init_deviation;
  }
}

double forward_flops_per_token(const Model& model, int layer) {
  const double hidden = static_cast<double>(model.hidden);
  if (layer == 0) return 0;
  if (layer == model.head_layer()) return 2 * hidden * model.vocabulary;
  const double query = static_cast<double>(model.num_heads) * model.head_dim;
  const double key = static_cast<double>(model.num_kv_heads) * model.head_dim;
  const double matrices = hidden * (2 * query + 2 * key + 3.0 * model.ffn);
  // Scores and their product with the values: 4 * context * query, half of it masked.
  return 2 * matrices + 2 * model.context * query;
}

}  // namespace skarv
