// RMSNorm (Zhang and Sennrich, 1910.07467) together with the residual addition before it:
//   sum = residual + delta,  inverse = 1 / sqrt(mean(sum^2) + epsilon),  normed = w * sum *
//   inverse.
// Without autograd. Shapes: [..., c]; statistics in fp32 as in transformers' LlamaRMSNorm.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/kernel_path.h"

namespace skarv {

struct NormForward {
  at::Tensor sum;  // `residual` itself when there is no delta
  at::Tensor normed;
  at::Tensor inverse;  // fp32 [..., 1]
};

// `delta` may be undefined.
NormForward norm_forward(const at::Tensor& residual, const at::Tensor& delta,
                         const at::Tensor& weight_c, double epsilon, KernelPath path);

// Gradient of the sum: through the norm, plus `d_sum` (may be undefined) from the residual stream.
// Adds the weight's gradient to `gradient_c` (fp32).
at::Tensor norm_backward(const at::Tensor& d_normed, const at::Tensor& d_sum, const at::Tensor& sum,
                         const at::Tensor& inverse, const at::Tensor& weight_c,
                         const at::Tensor& gradient_c, KernelPath path);

}  // namespace skarv
