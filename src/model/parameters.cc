#include "model/parameters.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <span>

#include "model/tensor_index.h"

namespace skarv {
namespace {

c10::ScalarType dtype_of(Precision precision) {
  return precision == Precision::kBf16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}

// Zeroed, so that a rank that is never initialised computes with defined numbers.
ParameterStore::Pack allocate(int64_t rows, int64_t columns, c10::ScalarType dtype,
                              c10::Device device) {
  return {at::zeros({rows, columns}, at::TensorOptions().dtype(dtype).device(device)),
          at::zeros({rows, columns}, at::TensorOptions().dtype(c10::kFloat).device(device))};
}

}  // namespace

ParameterStore::ParameterStore(const Model& model, const std::vector<int>& tensors,
                               Precision precision, c10::Device device)
    : model_(model), precision_(precision), device_(device) {
  const std::vector<TensorSpec> specs = tensors_of(model);
  const TensorIndex positions = index_tensors(model, specs);
  index_.assign(specs.size(), -1);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int tensor = tensors[i];
    TORCH_CHECK(tensor >= 0 && tensor < static_cast<int>(specs.size()), "no tensor ", tensor);
    TORCH_CHECK(i == 0 || tensors[i - 1] < tensor, "tensors are to be in ascending order");
    index_[tensor] = static_cast<int>(i);
    parameters_.push_back({tensor, at::Tensor(), at::Tensor()});
  }

  const c10::ScalarType dtype = dtype_of(precision);
  const auto make_pack = [&](const std::vector<int>& members) -> Pack {
    int64_t num_rows = 0;
    for (int member : members) {
      if (index_[member] < 0) return {};
      num_rows += specs[member].shape[0];
    }
    const Pack pack = allocate(num_rows, model.hidden, dtype, device);
    int64_t row = 0;
    for (int member : members) {
      Parameter& parameter = parameters_[index_[member]];
      const int64_t rows = specs[member].shape[0];
      parameter.value = pack.value.narrow(0, row, rows);
      parameter.gradient = pack.gradient.narrow(0, row, rows);
      row += rows;
    }
    return pack;
  };
  attention_packs_.resize(model.num_layers());
  mlp_packs_.resize(model.num_layers());
  for (size_t i = 0; i < positions.blocks.size(); ++i) {
    const BlockTensors& block = positions.blocks[i];
    attention_packs_[i + 1] = make_pack({block.query, block.key, block.value});
    mlp_packs_[i + 1] = make_pack({block.gate, block.up});
  }
  for (Parameter& parameter : parameters_) {
    if (parameter.value.defined()) continue;
    const auto& shape = specs[parameter.tensor].shape;
    parameter.value = at::zeros(shape, at::TensorOptions().dtype(dtype).device(device));
    parameter.gradient = at::zeros(shape, at::TensorOptions().dtype(c10::kFloat).device(device));
  }
}

const Parameter& ParameterStore::parameter(int tensor) const {
  TORCH_CHECK(holds(tensor), "tensor ", tensor, " is not held by this rank");
  return parameters_[index_[tensor]];
}

bool ParameterStore::holds(int tensor) const {
  return tensor >= 0 && tensor < static_cast<int>(index_.size()) && index_[tensor] >= 0;
}

void ParameterStore::zero_gradients() {
  for (const Parameter& parameter : parameters_) parameter.gradient.zero_();
}

void ParameterStore::initialise(uint64_t seed) {
  const std::vector<TensorSpec> specs = tensors_of(model_);
  for (const Parameter& parameter : parameters_) {
    const TensorSpec& spec = specs[parameter.tensor];
    at::Tensor values = at::empty(spec.shape, at::TensorOptions().dtype(c10::kFloat));
    float* data = values.data_ptr<float>();
    at::parallel_for(0, spec.num_elements(), 1 << 14, [&](int64_t begin, int64_t end) {
      initial_values(spec, seed, begin,
                     std::span<float>(data + begin, static_cast<size_t>(end - begin)));
    });
    parameter.value.copy_(values);
  }
}

const ParameterStore::Pack& ParameterStore::attention_pack(int layer) const {
  const Pack& pack = attention_packs_.at(layer);
  TORCH_CHECK(pack.value.defined(), "layer ", layer, " has no attention weights on this rank");
  return pack;
}

const ParameterStore::Pack& ParameterStore::mlp_pack(int layer) const {
  const Pack& pack = mlp_packs_.at(layer);
  TORCH_CHECK(pack.value.defined(), "layer ", layer, " has no MLP weights on this rank");
  return pack;
}

}  // namespace skarv
