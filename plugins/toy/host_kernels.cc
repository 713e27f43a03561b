// Kernels of the toy that are the host's vectorized kernels on aliases of toy tensors: its stand-in
// for a vendor's math library. Results are written straight into toy memory. libtorch builds the
// plain and the in-place form of an op (`add.Tensor`, `add_.Tensor`) from its `out` form here.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adamw_ops.h>
#include <ATen/ops/_index_put_impl_ops.h>
#include <ATen/ops/_log_softmax_backward_data_ops.h>
#include <ATen/ops/_log_softmax_ops.h>
#include <ATen/ops/_softmax_backward_data_ops.h>
#include <ATen/ops/_softmax_ops.h>
#include <ATen/ops/add_ops.h>
#include <ATen/ops/addcdiv_ops.h>
#include <ATen/ops/addcmul_ops.h>
#include <ATen/ops/addmm_ops.h>
#include <ATen/ops/baddbmm_ops.h>
#include <ATen/ops/bmm_ops.h>
#include <ATen/ops/cat_ops.h>
#include <ATen/ops/cos_ops.h>
#include <ATen/ops/div_ops.h>
#include <ATen/ops/fill_ops.h>
#include <ATen/ops/gather_ops.h>
#include <ATen/ops/lerp_ops.h>
#include <ATen/ops/linalg_vector_norm_ops.h>
#include <ATen/ops/masked_fill_ops.h>
#include <ATen/ops/mean_ops.h>
#include <ATen/ops/mm_ops.h>
#include <ATen/ops/mul_ops.h>
#include <ATen/ops/neg_ops.h>
#include <ATen/ops/nll_loss_backward_ops.h>
#include <ATen/ops/nll_loss_forward_ops.h>
#include <ATen/ops/pow_ops.h>
#include <ATen/ops/reciprocal_ops.h>
#include <ATen/ops/rsqrt_ops.h>
#include <ATen/ops/sigmoid_ops.h>
#include <ATen/ops/silu_backward_ops.h>
#include <ATen/ops/silu_ops.h>
#include <ATen/ops/sin_ops.h>
#include <ATen/ops/sqrt_ops.h>
#include <ATen/ops/sub_ops.h>
#include <ATen/ops/sum_ops.h>
#include <ATen/ops/tril_ops.h>
#include <ATen/ops/where_ops.h>
#include <ATen/ops/zero_ops.h>
#include <ATen/record_function.h>
#include <torch/library.h>

#include <tuple>

#include "alias.h"
#include "stats.h"

namespace toy {
namespace {

std::string full_name(const char* name, const char* overload) {
  return *overload == '\0' ? std::string(name) : std::string(name) + "." + overload;
}

// The kernel of an op whose results are all among its arguments.
template <typename Op, typename Signature = typename Op::schema>
struct OnHost;

template <typename Op, typename Result, typename... Arguments>
struct OnHost<Op, Result(Arguments...)> {
  static Result call(Arguments... arguments) {
    static const std::string name = full_name(Op::name, Op::overload_name);
    static OpCounter& counter = counter_of(name, Way::kOwn);
    const Counted counted(counter);
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::DisableRecordFunctionGuard unrecorded;
    CommonDevice device;
    std::tuple<Aliased<Arguments>...> aliases(
        Aliased<Arguments>(std::forward<Arguments>(arguments), device, name.c_str())...);
    std::apply([](auto&... alias) { Op::call(alias.get()...); }, aliases);
    if constexpr (!std::is_void_v<Result>) return written<Result>(arguments...);
  }

 private:
  // The arguments that the op writes are its only references to tensors that are not const, in the
  // order of its results.
  template <typename Written, typename... All>
  static Written written(All&... all) {
    auto outputs = std::tuple_cat(output(all)...);
    if constexpr (std::is_reference_v<Written>) {
      return std::get<0>(outputs);
    } else {
      return outputs;
    }
  }
  static std::tuple<at::Tensor&> output(at::Tensor& tensor) { return std::tie(tensor); }
  template <typename Other>
  static std::tuple<> output(Other&) {
    return {};
  }
};

template <typename... Ops>
void add_all(torch::Library& library) {
  (library.impl(full_name(Ops::name, Ops::overload_name).c_str(), &OnHost<Ops>::call), ...);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace at::_ops;  // NOLINT
  // Products.
  add_all<mm_out, addmm_out, bmm_out, baddbmm_out>(library);
  // One element at a time.
  add_all<add_out, sub_out, mul_out, div_out, neg_out, reciprocal_out, rsqrt_out, sqrt_out, cos_out,
          sin_out, sigmoid_out, pow_Tensor_Scalar_out, silu_out, silu_backward_grad_input,
          addcmul_out, addcdiv_out, lerp_Scalar_out, where_self_out, tril_out>(library);
  add_all<fill__Scalar, fill__Tensor, zero_, masked_fill__Scalar, masked_fill__Tensor>(library);
  // Reductions, normalizations, losses.
  add_all<sum_IntList_out, mean_out, linalg_vector_norm_out, _softmax_out,
          _softmax_backward_data_out, _log_softmax_out, _log_softmax_backward_data_out,
          nll_loss_forward_output, nll_loss_backward_grad_input>(library);
  // Moving rows.
  add_all<cat_out, gather_out, _index_put_impl_>(library);
  add_all<_fused_adamw_>(library);
}

}  // namespace
}  // namespace toy
