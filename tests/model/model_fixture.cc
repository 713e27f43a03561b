#include "model/model_fixture.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include <numeric>
#include <stdexcept>

#include "base/random.h"

namespace skarv {
namespace {

template <typename T>
T take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().to_string());
  return std::move(result).value();
}

}  // namespace

Model small_model() {
  return {.vocabulary = 97,
          .hidden = 36,
          .num_blocks = 3,
          .num_heads = 6,
          .num_kv_heads = 3,
          .head_dim = 10,
          .ffn = 53,
          .context = 19};
}

Sample sample_of(const Model& model, int64_t batch, int64_t tokens, uint64_t seed) {
  const CounterRandom random(seed, "sample");
  const at::Tensor ids = at::empty({batch, tokens + 1}, at::TensorOptions().dtype(c10::kLong));
  int64_t* data = ids.data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    data[i] = static_cast<int64_t>(random.below(i, static_cast<uint64_t>(model.vocabulary)));
  }
  return {ids.narrow(1, 0, tokens).contiguous(), ids.narrow(1, 1, tokens).contiguous()};
}

Chain::Chain(const Model& model, const std::vector<int>& cuts, Recompute recompute,
             Precision precision, c10::Device device) {
  std::vector<int> all(tensors_of(model).size());
  std::iota(all.begin(), all.end(), 0);
  store_ = std::make_unique<ParameterStore>(model, all, precision, device);
  store_->initialise(7);
  int first = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const int last = i < cuts.size() ? cuts[i] : model.num_layers();
    stages_.push_back(std::make_unique<StageModule>(*store_, first, last, recompute));
    first = last;
  }
}

double Chain::forward(int microbatch, const Sample& sample) {
  StageInput input{sample.tokens_bt.to(store_->device()), at::Tensor(),
                   sample.targets_bt.to(store_->device())};
  for (const auto& stage : stages_) {
    const double scale = 1.0 / static_cast<double>(sample.tokens_bt.numel());
    input.activation_btc = take(stage->forward(microbatch, input, scale));
  }
  return input.activation_btc.cpu().item<float>();
}

void Chain::backward(int microbatch) {
  at::Tensor gradient;
  for (int i = num_stages() - 1; i >= 0; --i) {
    gradient = take(stages_[i]->backward(microbatch, gradient));
  }
}

void Chain::backward_input(int microbatch) {
  at::Tensor gradient;
  for (int i = num_stages() - 1; i >= 0; --i) {
    gradient = take(stages_[i]->backward_input(microbatch, gradient));
  }
}

void Chain::backward_weight(int microbatch) {
  for (const auto& stage : stages_) {
    const Status status = stage->backward_weight(microbatch);
    if (!status.ok()) throw std::runtime_error(status.to_string());
  }
}

std::vector<at::Tensor> Chain::gradients() const {
  std::vector<at::Tensor> copies;
  for (const Parameter& parameter : store_->parameters()) {
    copies.push_back(parameter.gradient.cpu().clone());
  }
  return copies;
}

std::vector<int> every_layer(const Model& model) {
  std::vector<int> cuts(model.num_layers() - 1);
  std::iota(cuts.begin(), cuts.end(), 1);
  return cuts;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor exact = b.to(c10::kDouble);
  return ((a.to(c10::kDouble) - exact).norm() / exact.norm()).item<double>();
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); }

}  // namespace skarv
