// Kernels of the toy that are the host's vectorized kernels on aliases of toy tensors: its stand-in
// for a vendor's math library. Results are written straight into toy memory. libtorch builds the
// plain and the in-place form of an op (`add.Tensor`, `add_.Tensor`) from its `out` form here.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_index_put_impl_ops.h>
#include <ATen/ops/add_ops.h>
#include <ATen/ops/addcdiv_ops.h>
#include <ATen/ops/addcmul_ops.h>
#include <ATen/ops/all_ops.h>
#include <ATen/ops/cat_ops.h>
#include <ATen/ops/clamp_ops.h>
#include <ATen/ops/cos_ops.h>
#include <ATen/ops/div_ops.h>
#include <ATen/ops/eq_ops.h>
#include <ATen/ops/exp_ops.h>
#include <ATen/ops/fill_ops.h>
#include <ATen/ops/gather_ops.h>
#include <ATen/ops/gt_ops.h>
#include <ATen/ops/isneginf_ops.h>
#include <ATen/ops/lerp_ops.h>
#include <ATen/ops/linalg_vector_norm_ops.h>
#include <ATen/ops/logical_not_ops.h>
#include <ATen/ops/masked_fill_ops.h>
#include <ATen/ops/mean_ops.h>
#include <ATen/ops/mul_ops.h>
#include <ATen/ops/neg_ops.h>
#include <ATen/ops/nll_loss_backward_ops.h>
#include <ATen/ops/nll_loss_forward_ops.h>
#include <ATen/ops/pow_ops.h>
#include <ATen/ops/reciprocal_ops.h>
#include <ATen/ops/rsqrt_ops.h>
#include <ATen/ops/sigmoid_ops.h>
#include <ATen/ops/sin_ops.h>
#include <ATen/ops/sqrt_ops.h>
#include <ATen/ops/sub_ops.h>
#include <ATen/ops/sum_ops.h>
#include <ATen/ops/tril_ops.h>
#include <ATen/ops/where_ops.h>
#include <ATen/ops/zero_ops.h>
#include <torch/library.h>

#include "host_call.h"

namespace toy {
namespace {

template <typename... Ops>
void add_all(torch::Library& library) {
  (library.impl(name_of<Ops>().c_str(), &OnHost<Ops>::call), ...);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace at::_ops;  // NOLINT
  // One element at a time.
  add_all<add_out, sub_out, mul_out, div_out, neg_out, reciprocal_out, rsqrt_out, sqrt_out, cos_out,
          sin_out, sigmoid_out, pow_Tensor_Scalar_out, addcmul_out, addcdiv_out, lerp_Scalar_out,
          where_self_out, tril_out, exp_out, isneginf_out, logical_not_out, eq_Scalar_out,
          gt_Scalar_out, clamp_out>(library);
  add_all<fill__Scalar, fill__Tensor, zero_, masked_fill__Scalar, masked_fill__Tensor>(library);
  // Reductions, normalizations, losses.
  add_all<sum_IntList_out, mean_out, linalg_vector_norm_out, nll_loss_forward_output,
          nll_loss_backward_grad_input, all_out>(library);
  // Moving rows.
  add_all<cat_out, gather_out, _index_put_impl_>(library);
}

}  // namespace
}  // namespace toy
