// The layers' differentiable operations: autograd Functions behind plain functions (their headers
// cost 17 s a compile, so they stand in one file). Weights are not autograd variables: a backward
// adds to Weight::gradient itself. Under no-grad mode they compute the same values and keep
// nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "model/attention.h"
#include "model/kernel_path.h"
#include "model/weight_gradients.h"

namespace skarv {

// x [..., k], weight [n, k] -> [..., n]. The weight's gradient goes through `gradients`.
at::Tensor linear(const at::Tensor& x, const Weight& weight, const WeightGradientsPtr& gradients);

struct Normed {
  at::Tensor sum;     // residual + delta: the residual stream
  at::Tensor normed;  // RMSNorm of it
};
// `delta` may be undefined: then sum is residual. The weight's gradient is added during backward.
Normed add_rms_norm(const at::Tensor& residual, const at::Tensor& delta, const Weight& weight,
                    double epsilon, KernelPath path);

// qkv [b, t, packed] -> [b, t, heads * head_dim].
at::Tensor attention(const at::Tensor& qkv, const AttentionShape& shape, const RopeTable& rope,
                     KernelPath path);

// gate_up [..., 2 f] = [gate, up] -> silu(gate) * up [..., f].
at::Tensor swiglu(const at::Tensor& gate_up, KernelPath path);

// body(x), keeping x alone: backward computes the body again, then differentiates it.
using Body = std::function<at::Tensor(const at::Tensor&)>;
at::Tensor recomputed(const at::Tensor& x, Body body);

}  // namespace skarv
