// mm, addmm and bmm by the toy's own products (gemm.h) for fp32; the rest by the host's kernels.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm_ops.h>
#include <ATen/ops/baddbmm_ops.h>
#include <ATen/ops/bmm_ops.h>
#include <ATen/ops/mm_ops.h>
#include <torch/library.h>

#include <algorithm>

#include "gemm.h"
#include "host_call.h"
#include "memory.h"

namespace toy {
namespace {

float* data_of(const at::Tensor& tensor) {
  return static_cast<float*>(to_host(tensor.const_data_ptr()));
}

bool suit(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const auto fits = [&](const at::Tensor& tensor) {
    return is_toy(tensor) && tensor.scalar_type() == at::kFloat &&
           tensor.device() == out.device() && tensor.dim() == out.dim();
  };
  const int64_t last = out.dim() - 1;
  return fits(a) && fits(b) && fits(out) && (out.stride(last) == 1 || out.size(last) <= 1) &&
         a.size(last) == b.size(last - 1) && a.size(last - 1) == out.size(last - 1) &&
         b.size(last) == out.size(last);
}

Matrix matrix_of(const at::Tensor& tensor, int64_t batch) {
  const int64_t dims = tensor.dim();
  const float* const data = data_of(tensor) + (dims == 3 ? batch * tensor.stride(0) : 0);
  return {data, tensor.stride(dims - 2), tensor.stride(dims - 1)};
}

// out += alpha * a * b, for each of the batch. Rows of all products are shared among the threads.
void accumulate(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, float alpha) {
  constexpr int64_t kProductsPerTask = int64_t{1} << 21;
  const int64_t dims = out.dim();
  const int64_t num_rows = out.size(dims - 2), num_columns = out.size(dims - 1);
  const int64_t depth = a.size(dims - 1), num_batches = dims == 3 ? out.size(0) : 1;
  if (out.numel() == 0 || depth == 0) return;
  const int64_t grain = std::max<int64_t>(1, kProductsPerTask / (num_columns * depth));
  at::parallel_for(0, num_batches * num_rows, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t batch = begin / num_rows, row = begin % num_rows;
      const int64_t last_row = std::min(num_rows, row + end - begin);
      float* const c = data_of(out) + (dims == 3 ? batch * out.stride(0) : 0);
      gemm(matrix_of(a, batch), matrix_of(b, batch), c, out.stride(dims - 2), row, last_row,
           num_columns, depth, alpha);
      begin += last_row - row;
    }
  });
}

template <typename Op>
at::Tensor& product(const at::Tensor& a, const at::Tensor& b, at::Tensor& out) {
  if (!suit(a, b, out)) return OnHost<Op>::call(a, b, out);
  const Counted counted(counter_of<Op, Way::kOwn>());
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::DisableRecordFunctionGuard unrecorded;
  alias(out).zero_();
  accumulate(a, b, out, 1.0f);
  return out;
}

template <typename Op>
at::Tensor& sum_and_product(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b,
                            const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  if (!suit(a, b, out) || !is_toy(self) || self.scalar_type() != at::kFloat ||
      self.device() != out.device()) {
    return OnHost<Op>::call(self, a, b, beta, alpha, out);
  }
  const Counted counted(counter_of<Op, Way::kOwn>());
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::DisableRecordFunctionGuard unrecorded;
  const at::Tensor sums = alias(out);
  if (beta.to<double>() == 0) {
    sums.zero_();  // what self holds does not count then, not even a NaN
  } else {
    if (!out.is_same(self)) sums.copy_(alias(self).expand(out.sizes()));
    if (beta.to<double>() != 1) sums.mul_(beta);
  }
  accumulate(a, b, out, alpha.to<float>());
  return out;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace at::_ops;  // NOLINT
  library.impl("mm.out", &product<mm_out>);
  library.impl("bmm.out", &product<bmm_out>);
  library.impl("addmm.out", &sum_and_product<addmm_out>);
  library.impl("baddbmm.out", &sum_and_product<baddbmm_out>);
}

}  // namespace
}  // namespace toy
