// SwiGLU (Shazeer, 2002.05202) on packed projections by fused CPU kernels, without autograd.
#pragma once

#include <ATen/core/Tensor.h>

namespace skarv {

// gate_up [..., 2 f] = [gate, up] -> silu(gate) * up [..., f].
at::Tensor fused_swiglu(const at::Tensor& gate_up);
// The gradient of gate_up, packed like it.
at::Tensor fused_swiglu_backward(const at::Tensor& d_out, const at::Tensor& gate_up);

}  // namespace skarv
