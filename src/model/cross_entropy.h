// The head: logits = x w^T, loss = sum over tokens of -log softmax(logits)[target]. In chunks of
// rows, gradients made on the way, so that the logits of a batch never stand in memory together.
// Without autograd: the gradient of x is a result, that of the weight is accumulated.
#pragma once

#include <ATen/core/Tensor.h>

#include "base/status.h"
#include "model/kernel_path.h"
#include "model/weight_gradients.h"

namespace skarv {

struct CrossEntropy {
  at::Tensor loss;   // sum in nats, fp32 scalar on the device
  at::Tensor dx_nc;  // of gradient_scale * loss; undefined when no gradients were asked for
};

// x_nc [n, c], targets_n int64 in [0, vocabulary). With `gradient_scale`, weight.gradient grows by
// the gradient of gradient_scale * loss. Error: a target outside the vocabulary (CPU; on other
// devices the device's own gather reports it).
Result<CrossEntropy> linear_cross_entropy(const at::Tensor& x_nc, const Weight& weight_vc,
                                          const at::Tensor& targets_n,
                                          std::optional<double> gradient_scale, KernelPath path);

}  // namespace skarv
