#include "model/matrix.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/mm.h>

namespace skarv {
namespace {

// oneDNN's x w^T. The wheel exports it as an operator only; nullptr where that is not wanted.
using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

const c10::TypedOperatorHandle<OneDnnLinear>* find_one_dnn() {
#if defined(__x86_64__)
  if (__builtin_cpu_is("intel") || !__builtin_cpu_supports("avx2")) return nullptr;
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return nullptr;
  static const auto handle = found->typed<OneDnnLinear>();
  return &handle;
#else
  return nullptr;
#endif
}

// x w^T by oneDNN, or an undefined tensor where it does not apply.
at::Tensor try_one_dnn(const at::Tensor& x, const at::Tensor& w) {
  static const auto* const one_dnn = find_one_dnn();
  if (one_dnn == nullptr || !x.is_cpu() || x.scalar_type() != c10::kFloat) return at::Tensor();
  return one_dnn->call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace

at::Tensor linear_forward(const at::Tensor& x_mk, const at::Tensor& weight_nk) {
  at::Tensor y = try_one_dnn(x_mk, weight_nk);
  return y.defined() ? y : at::mm(x_mk, weight_nk.t());
}

at::Tensor linear_backward_input(const at::Tensor& dy_mn, const at::Tensor& weight_nk) {
  at::Tensor dx = try_one_dnn(dy_mn, weight_nk.t());
  return dx.defined() ? dx : at::mm(dy_mn, weight_nk);
}

void linear_backward_weight(const at::Tensor& dy_mn, const at::Tensor& x_mk,
                            const at::Tensor& gradient_nk) {
  // oneDNN copies its first operand where that is transposed: let it be the narrower one.
  const bool swap = dy_mn.size(1) > x_mk.size(1);
  if (const at::Tensor product =
          swap ? try_one_dnn(x_mk.t(), dy_mn.t()) : try_one_dnn(dy_mn.t(), x_mk.t());
      product.defined()) {
    gradient_nk.add_(swap ? product.t() : product);
  } else if (dy_mn.scalar_type() == gradient_nk.scalar_type()) {
    gradient_nk.addmm_(dy_mn.t(), x_mk);
  } else {
    gradient_nk.add_(at::mm(dy_mn.t(), x_mk));
  }
}

}  // namespace skarv
