// The parameters that one rank holds: values for computing, gradients for accumulating. Stages
// refer to them, so two stages of one device share a tied embedding. Tensors that a kernel wants
// side by side (q, k, v; gate, up) are stored packed; each named tensor is a contiguous row range
// of its pack, so values and gradients of every name are plain contiguous views.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "spec/model.h"
#include "spec/run.h"

namespace skarv {

struct Parameter {
  int tensor;           // index into tensors_of(model)
  at::Tensor value;     // shape of the TensorSpec, in compute precision
  at::Tensor gradient;  // same shape, fp32, summed over microbatches
};

// One thread. Owns the memory.
class ParameterStore {
 public:
  // Holds the tensors with the given indices (of tensors_of(model), ascending) on `device`.
  ParameterStore(const Model& model, const std::vector<int>& tensors, Precision precision,
                 c10::Device device);

  const Model& model() const { return model_; }
  Precision precision() const { return precision_; }
  c10::Device device() const { return device_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  // REQUIRES: held.
  const Parameter& parameter(int tensor) const;
  bool holds(int tensor) const;
  void zero_gradients();
  // Values from the run's seed (initial_values), in compute precision.
  void initialise(uint64_t seed);

  // Packs as the layers use them: values with requires_grad false; a layer accumulates into
  // gradient itself. Index of pack, see pack_of.
  struct Pack {
    at::Tensor value, gradient;
  };
  // [q; k; v], [(heads + 2 kv_heads) head_dim, hidden].
  const Pack& attention_pack(int layer) const;
  // [gate; up], [2 ffn, hidden].
  const Pack& mlp_pack(int layer) const;

 private:
  Model model_;
  Precision precision_;
  c10::Device device_;
  std::vector<Parameter> parameters_;
  std::vector<int> index_;                         // by tensor: position in parameters_ or -1
  std::vector<Pack> attention_packs_, mlp_packs_;  // by layer; undefined where not held
};

}  // namespace skarv
