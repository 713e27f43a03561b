// What the tests of this room share: small models, samples, and a chain of stages that takes a
// step.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "model/parameters.h"
#include "model/stage_module.h"
#include "spec/model.h"

namespace skarv {

// Two query heads a key head, odd sizes, free head.
Model small_model();

struct Sample {
  at::Tensor tokens_bt, targets_bt;
};
// Uniform token ids from a counter-based stream; targets are the tokens shifted by one.
Sample sample_of(const Model& model, int64_t batch, int64_t tokens, uint64_t seed);

// Stages over one store that holds the whole model, cut before each layer of `cuts`.
class Chain {
 public:
  Chain(const Model& model, const std::vector<int>& cuts, Recompute recompute = Recompute::kNone,
        Precision precision = Precision::kFp32, c10::Device device = c10::Device(c10::kCPU));

  ParameterStore& store() { return *store_; }
  StageModule& stage(int i) { return *stages_[i]; }
  int num_stages() const { return static_cast<int>(stages_.size()); }

  // Throws std::runtime_error when a stage fails. Loss: the sum over tokens.
  double forward(int microbatch, const Sample& sample);
  // Gradients are those of the mean loss of `sample`.
  void backward(int microbatch);
  void backward_input(int microbatch);
  void backward_weight(int microbatch);
  // Copies of all gradients, in canonical order.
  std::vector<at::Tensor> gradients() const;

 private:
  std::unique_ptr<ParameterStore> store_;
  std::vector<std::unique_ptr<StageModule>> stages_;
};

std::vector<int> every_layer(const Model& model);
// |a - b| / |b|, in double.
double relative_difference(const at::Tensor& a, const at::Tensor& b);
bool same_bits(const at::Tensor& a, const at::Tensor& b);

}  // namespace skarv
