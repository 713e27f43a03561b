#include "model/functions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "model/matrix.h"
#include "model/normalization.h"
#include "model/swiglu.h"

namespace skarv {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What a backward needs beside tensors that autograd saves. Kept in the context as a capsule.
template <typename T>
struct Capsule : torch::CustomClassHolder {
  explicit Capsule(T value) : value(std::move(value)) {}
  T value;
};

template <typename T>
void keep(AutogradContext* context, T value) {
  context->saved_data["kept"] =
      c10::IValue::make_capsule(c10::make_intrusive<Capsule<T>>(std::move(value)));
}

template <typename T>
T kept(AutogradContext* context) {
  const auto holder = context->saved_data.at("kept").toCapsule();
  return static_cast<const Capsule<T>&>(*holder).value;
}

at::Tensor as_rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

std::vector<int64_t> with_last(const at::Tensor& x, int64_t last) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = last;
  return sizes;
}

struct LinearFunction : Function<LinearFunction> {
  struct Kept {
    Weight weight;
    WeightGradientsPtr gradients;
  };

  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Kept& parts) {
    context->save_for_backward({x});
    keep(context, parts);
    return linear_forward(as_rows(x), parts.weight.value)
        .view(with_last(x, parts.weight.value.size(0)));
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const at::Tensor x = context->get_saved_variables()[0];
    const Kept parts = kept<Kept>(context);
    const at::Tensor dy_mn = as_rows(d_outputs[0]);
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = linear_backward_input(dy_mn, parts.weight.value).view(x.sizes());
    }
    parts.gradients->add_product(dy_mn, as_rows(x), parts.weight.gradient);
    return {dx, at::Tensor()};
  }
};

struct NormFunction : Function<NormFunction> {
  struct Kept {
    Weight weight;
    bool has_delta;
    KernelPath path;
  };

  static variable_list forward(AutogradContext* context, const at::Tensor& residual,
                               const std::optional<at::Tensor>& delta, const Kept& parts,
                               double epsilon) {
    context->set_materialize_grads(false);
    NormForward out = norm_forward(residual, delta.value_or(at::Tensor()), parts.weight.value,
                                   epsilon, parts.path);
    context->save_for_backward({out.sum, out.inverse});
    keep(context, parts);
    return {out.sum, out.normed};
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const variable_list saved = context->get_saved_variables();
    const Kept parts = kept<Kept>(context);
    const at::Tensor dx = norm_backward(d_outputs[1], d_outputs[0], saved[0], saved[1],
                                        parts.weight.value, parts.weight.gradient, parts.path);
    return {dx, parts.has_delta ? dx : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct AttentionFunction : Function<AttentionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const AttentionShape& shape, const RopeTable& rope) {
    const FusedAttention out = fused_attention(qkv, shape, rope);
    context->save_for_backward({out.out, out.q, out.k, out.v, out.log_sum});
    keep(context, rope);
    return out.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const variable_list saved = context->get_saved_variables();
    const FusedAttention forward{saved[0], saved[1], saved[2], saved[3], saved[4]};
    return {fused_attention_backward(d_outputs[0], forward, kept<RopeTable>(context)), at::Tensor(),
            at::Tensor()};
  }
};

struct SwigluFunction : Function<SwigluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return fused_swiglu(gate_up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    return {fused_swiglu_backward(d_outputs[0], context->get_saved_variables()[0])};
  }
};

struct RecomputeFunction : Function<RecomputeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Body& body) {
    context->save_for_backward({x});
    keep(context, body);
    return body(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_outputs) {
    const c10::AutoGradMode with_gradients(true);
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    const at::Tensor y = kept<Body>(context)(x);
    torch::autograd::backward({y}, {d_outputs[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const Weight& weight, const WeightGradientsPtr& gradients) {
  return LinearFunction::apply(x, LinearFunction::Kept{weight, gradients});
}

Normed add_rms_norm(const at::Tensor& residual, const at::Tensor& delta, const Weight& weight,
                    double epsilon, KernelPath path) {
  const std::optional<at::Tensor> optional_delta =
      delta.defined() ? std::optional<at::Tensor>(delta) : std::nullopt;
  const variable_list out = NormFunction::apply(
      residual, optional_delta, NormFunction::Kept{weight, delta.defined(), path}, epsilon);
  return {out[0], out[1]};
}

at::Tensor attention(const at::Tensor& qkv, const AttentionShape& shape, const RopeTable& rope,
                     KernelPath path) {
  if (path == KernelPath::kFused) return AttentionFunction::apply(qkv, shape, rope);
  return composite_attention(qkv, shape, rope);
}

at::Tensor swiglu(const at::Tensor& gate_up, KernelPath path) {
  if (path == KernelPath::kFused) return SwigluFunction::apply(gate_up);
  const std::vector<at::Tensor> parts = gate_up.split(gate_up.size(-1) / 2, -1);
  return at::silu(parts[0]) * parts[1];
}

at::Tensor recomputed(const at::Tensor& x, Body body) {
  return RecomputeFunction::apply(x, std::move(body));
}

}  // namespace skarv
