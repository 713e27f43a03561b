// The three matrix products of a linear layer y = x w^T. Shapes: m rows (tokens), k inputs, n
// outputs. Operands in compute precision, on one device. Without autograd.
//
// In fp32 on CPUs that are not Intel's they go to oneDNN instead of MKL, which there runs at less
// than half of what the machine can do (AMD Zen 5: 100 against 236 GFLOP/s a core, both IEEE fp32).
#pragma once

#include <ATen/core/Tensor.h>

namespace skarv {

at::Tensor linear_forward(const at::Tensor& x_mk, const at::Tensor& weight_nk);  // y [m, n]
at::Tensor linear_backward_input(const at::Tensor& dy_mn,
                                 const at::Tensor& weight_nk);  // dx [m, k]
// gradient_nk (fp32) += dy^T x.
void linear_backward_weight(const at::Tensor& dy_mn, const at::Tensor& x_mk,
                            const at::Tensor& gradient_nk);

}  // namespace skarv
