// config.json of transformers: LlamaConfig, and what computes the same under another name. A
// setting that would change the mathematics and that Skarv does not have is refused, never ignored.
#include "base/text.h"
#include "spec/document.h"
#include "spec/model.h"

namespace skarv {
namespace {

bool absent(const Json& config, const char* key) {
  return !config.contains(key) || config[key].is_null();
}

// transformers 5 keeps the base in rope_parameters, older versions beside rope_scaling.
void read_rope(Document& document, const Json& config, double& theta) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (absent(config, key)) continue;
    Fields rope(document, config[key], key);
    std::string type = "default";
    rope.text("type", type);
    rope.text("rope_type", type);
    rope.number("rope_theta", theta, 1e-9, 1e15);
    if (type != "default") {
      document.fail(key, cat("rotary positions of type \"", type, "\" are not supported"),
                    "Skarv has plain rotary positions (rope_type \"default\")");
    }
  }
}

void refuse_what_differs(Document& document, const Json& config) {
  std::string type = "llama";
  Fields::of(document).text("model_type", type);
  if (type != "llama" && type != "mistral") {
    document.fail("model_type", cat("model_type \"", type, "\" is not a Llama-style decoder"),
                  "use a checkpoint of type llama or mistral");
  }
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (!absent(config, key) && config[key] != false) {
      document.fail(key, cat(key, " is not supported"), "use a model without biases");
    }
  }
  if (!absent(config, "hidden_act") && config["hidden_act"] != "silu") {
    document.fail("hidden_act",
                  cat("hidden_act ", config["hidden_act"].dump(), " is not supported"),
                  "use a model with silu (SwiGLU)");
  }
  if (!absent(config, "sliding_window")) {
    document.fail("sliding_window", "a sliding attention window is not supported",
                  "set sliding_window to null if the context is shorter than the window");
  }
}

}  // namespace

Result<Model> model_from_hugging_face(const std::filesystem::path& config_json) {
  SKARV_ASSIGN(const Json config, read_json(config_json));
  Document document = Document::from_json(config, config_json.string());
  Fields fields = Fields::of(document);
  if (!document.ok()) return document.status();
  Model model;
  model.rms_epsilon = 1e-6;  // LlamaConfig's own default
  fields.integer("vocab_size", model.vocabulary, 1);
  fields.integer("hidden_size", model.hidden, 1);
  fields.integer("num_hidden_layers", model.num_blocks, 1);
  fields.integer("num_attention_heads", model.num_heads, 1);
  fields.integer("intermediate_size", model.ffn, 1);
  fields.integer("max_position_embeddings", model.context, 1);
  fields.number("rms_norm_eps", model.rms_epsilon, 0, 1);
  fields.boolean("tie_word_embeddings", model.tied_head);
  model.num_kv_heads = model.num_heads;
  model.head_dim = model.num_heads > 0 ? model.hidden / model.num_heads : 0;
  if (!absent(config, "num_key_value_heads")) {
    fields.integer("num_key_value_heads", model.num_kv_heads, 1);
  }
  if (!absent(config, "head_dim")) fields.integer("head_dim", model.head_dim, 1);
  if (!absent(config, "rope_theta")) fields.number("rope_theta", model.rope_theta, 1e-9, 1e15);
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings"}) {
    if (!fields.has(key))
      fields.fail(key, cat(key, " is missing"), "is this a model's config.json?");
  }
  read_rope(document, config, model.rope_theta);
  refuse_what_differs(document, config);
  if (const MaybeProblem problem = problem_of(model)) document.fail(*problem);
  if (!document.ok()) return document.status();
  return model;
}

Json to_hugging_face(const Model& model) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", model.vocabulary},
          {"hidden_size", model.hidden},
          {"num_hidden_layers", model.num_blocks},
          {"num_attention_heads", model.num_heads},
          {"num_key_value_heads", model.num_kv_heads},
          {"head_dim", model.head_dim},
          {"intermediate_size", model.ffn},
          {"max_position_embeddings", model.context},
          {"rope_theta", model.rope_theta},
          {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", model.rope_theta}}},
          {"rms_norm_eps", model.rms_epsilon},
          {"tie_word_embeddings", model.tied_head},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"mlp_bias", false}};
}

}  // namespace skarv
