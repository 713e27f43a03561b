// Where each tensor of the decoder stands in tensors_of(model), found by its Hugging Face name
// once.
#pragma once

#include <vector>

#include "spec/model.h"

namespace skarv {

struct BlockTensors {
  int query = -1, key = -1, value = -1, output = -1;
  int gate = -1, up = -1, down = -1;
  int attention_norm = -1, mlp_norm = -1;
};

struct TensorIndex {
  int embedding = -1;
  int final_norm = -1;
  int head = -1;                     // the embedding when tied
  std::vector<BlockTensors> blocks;  // block i is layer i + 1
};

// REQUIRES: check_model(model). Throws std::logic_error when a name is missing or unknown.
TensorIndex index_tensors(const Model& model, const std::vector<TensorSpec>& tensors);

// Positions of the tensors that layers [first, last) use, ascending: what a store must hold.
std::vector<int> tensors_of_layers(const std::vector<TensorSpec>& tensors, int first, int last);

}  // namespace skarv
