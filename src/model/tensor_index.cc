#include "model/tensor_index.h"

#include <map>
#include <stdexcept>
#include <string>

namespace skarv {

TensorIndex index_tensors(const Model& model, const std::vector<TensorSpec>& tensors) {
  TensorIndex index;
  index.blocks.resize(model.num_blocks);
  std::map<std::string, int*> wanted = {{"model.embed_tokens.weight", &index.embedding},
                                        {"model.norm.weight", &index.final_norm}};
  if (!model.tied_head) wanted["lm_head.weight"] = &index.head;
  for (int64_t i = 0; i < model.num_blocks; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    BlockTensors& block = index.blocks[i];
    wanted[prefix + "self_attn.q_proj.weight"] = &block.query;
    wanted[prefix + "self_attn.k_proj.weight"] = &block.key;
    wanted[prefix + "self_attn.v_proj.weight"] = &block.value;
    wanted[prefix + "self_attn.o_proj.weight"] = &block.output;
    wanted[prefix + "mlp.gate_proj.weight"] = &block.gate;
    wanted[prefix + "mlp.up_proj.weight"] = &block.up;
    wanted[prefix + "mlp.down_proj.weight"] = &block.down;
    wanted[prefix + "input_layernorm.weight"] = &block.attention_norm;
    wanted[prefix + "post_attention_layernorm.weight"] = &block.mlp_norm;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto found = wanted.find(tensors[i].name);
    if (found == wanted.end()) throw std::logic_error("unknown tensor " + tensors[i].name);
    *found->second = static_cast<int>(i);
  }
  for (const auto& [name, position] : wanted) {
    if (*position < 0) throw std::logic_error("the model has no tensor " + name);
  }
  if (model.tied_head) index.head = index.embedding;
  return index;
}

std::vector<int> tensors_of_layers(const std::vector<TensorSpec>& tensors, int first, int last) {
  std::vector<int> held;
  for (size_t i = 0; i < tensors.size(); ++i) {
    bool used = false;
    for (int layer = first; layer < last && !used; ++layer) used = tensors[i].used_by(layer);
    if (used) held.push_back(static_cast<int>(i));
  }
  return held;
}

}  // namespace skarv
