#include "spec/model_json.h"

#include "base/text.h"

namespace skarv {

void read_model_fields(Fields& fields, Model& model) {
  fields.integer("vocabulary", model.vocabulary, 0);
  fields.integer("hidden", model.hidden, 1);
  fields.integer("blocks", model.num_blocks, 1);
  fields.integer("heads", model.num_heads, 1);
  fields.integer("kv_heads", model.num_kv_heads, 1);
  fields.integer("head_dim", model.head_dim, 1);
  fields.integer("ffn", model.ffn, 1);
  fields.integer("context", model.context, 1);
  fields.number("rope_theta", model.rope_theta, 1e-9, 1e15);
  fields.number("rms_epsilon", model.rms_epsilon, 0, 1);
  fields.boolean("tied_head", model.tied_head);
}

Json to_json(const Model& model) {
  return {{"vocabulary", model.vocabulary},
          {"hidden", model.hidden},
          {"blocks", model.num_blocks},
          {"heads", model.num_heads},
          {"kv_heads", model.num_kv_heads},
          {"head_dim", model.head_dim},
          {"ffn", model.ffn},
          {"context", model.context},
          {"rope_theta", model.rope_theta},
          {"rms_epsilon", model.rms_epsilon},
          {"tied_head", model.tied_head}};
}

Result<Model> model_from_json(const Json& json, const std::string& origin) {
  Document document = Document::from_json(json, origin);
  Fields fields = Fields::of(document);
  Model model;
  read_model_fields(fields, model);
  fields.require(
      {"vocabulary", "hidden", "blocks", "heads", "kv_heads", "head_dim", "ffn", "context"});
  fields.finish();
  if (const MaybeProblem problem = problem_of(model)) document.fail(*problem);
  if (!document.ok()) return document.status();
  return model;
}

Digest digest_of(const Model& model) { return digest_of(std::string_view(to_json(model).dump())); }

}  // namespace skarv
