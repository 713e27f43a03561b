#include "model/parameters.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "model/model_fixture.h"
#include "model/tensor_index.h"

namespace skarv {
namespace {

ParameterStore store_of(const Model& model, const std::vector<int>& tensors) {
  return ParameterStore(model, tensors, Precision::kFp32, c10::Device(c10::kCPU));
}

TEST(ParameterStore, PacksAreTheNamedTensorsInOrder) {
  const Model model = small_model();
  const auto specs = tensors_of(model);
  const TensorIndex index = index_tensors(model, specs);
  ParameterStore store = store_of(model, tensors_of_layers(specs, 0, model.num_layers()));
  store.initialise(1);
  const BlockTensors& block = index.blocks[1];
  const at::Tensor& pack = store.attention_pack(2).value;
  ASSERT_EQ(pack.size(0), (model.num_heads + 2 * model.num_kv_heads) * model.head_dim);
  int64_t row = 0;
  for (int tensor : {block.query, block.key, block.value}) {
    const at::Tensor& value = store.parameter(tensor).value;
    EXPECT_TRUE(value.is_contiguous());
    EXPECT_EQ(value.data_ptr(), pack[row].data_ptr());
    row += value.size(0);
  }
  EXPECT_EQ(row, pack.size(0));
  EXPECT_EQ(store.parameter(block.up).gradient.data_ptr(),
            store.mlp_pack(2).gradient[model.ffn].data_ptr());
}

TEST(ParameterStore, InitialValuesAreThoseOfTheSpec) {
  const Model model = small_model();
  const auto specs = tensors_of(model);
  // One layer alone has the same values as that layer in the whole.
  ParameterStore part = store_of(model, tensors_of_layers(specs, 2, 3));
  part.initialise(11);
  EXPECT_EQ(part.parameters().size(), 9u);
  for (const Parameter& parameter : part.parameters()) {
    const TensorSpec& spec = specs[parameter.tensor];
    std::vector<float> wanted(spec.num_elements());
    initial_values(spec, 11, 0, wanted);
    const float* data = parameter.value.data_ptr<float>();
    EXPECT_EQ(std::vector<float>(data, data + wanted.size()), wanted) << spec.name;
    EXPECT_EQ(parameter.value.sizes(), spec.shape) << spec.name;
    EXPECT_EQ(parameter.gradient.abs().sum().item<float>(), 0.0f);
  }
  EXPECT_FALSE(part.holds(0));
  EXPECT_ANY_THROW(part.parameter(0));
  EXPECT_ANY_THROW(part.attention_pack(1));
}

TEST(ParameterStore, TiedHeadIsHeldOnce) {
  Model model = small_model();
  model.tied_head = true;
  const auto specs = tensors_of(model);
  const TensorIndex index = index_tensors(model, specs);
  EXPECT_EQ(index.head, index.embedding);
  const auto head = tensors_of_layers(specs, model.head_layer(), model.num_layers());
  EXPECT_EQ(head, (std::vector<int>{index.embedding, index.final_norm}));
}

TEST(ParameterStore, ZeroGradients) {
  const Model model = small_model();
  Chain chain(model, {});
  chain.forward(0, sample_of(model, 1, 3, 1));
  chain.backward(0);
  chain.store().zero_gradients();
  for (const at::Tensor& gradient : chain.gradients()) {
    EXPECT_EQ(gradient.abs().sum().item<float>(), 0.0f);
  }
}

}  // namespace
}  // namespace skarv
