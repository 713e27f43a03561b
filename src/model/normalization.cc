#include "model/normalization.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include "model/elements.h"
#include "model/kernels/dispatch.h"
#include "model/parallel.h"

namespace skarv {
namespace {

template <typename T>
NormForward fused_forward(const at::Tensor& residual, const at::Tensor& delta,
                          const at::Tensor& weight_c, double epsilon) {
  const int64_t c = residual.size(-1), rows = residual.numel() / c;
  const at::Tensor x = residual.contiguous();
  const at::Tensor d = delta.defined() ? delta.contiguous() : delta;
  std::vector<int64_t> statistics = residual.sizes().vec();
  statistics.back() = 1;
  const NormForward out{delta.defined() ? at::empty_like(x) : residual, at::empty_like(x),
                        at::empty(statistics, x.options().dtype(c10::kFloat))};
  const T *xs = elements<T>(x), *w = elements<T>(weight_c);
  const T* ds = d.defined() ? elements<T>(d) : nullptr;
  T* sum = d.defined() ? mutable_elements<T>(out.sum) : nullptr;
  T* normed = mutable_elements<T>(out.normed);
  float* inverse = out.inverse.mutable_data_ptr<float>();
  for_row_ranges(rows, c, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * c;
    kernels::best_for<T>().norm_forward(xs + at, ds ? ds + at : nullptr, w,
                                        static_cast<float>(epsilon), end - begin, c,
                                        sum ? sum + at : nullptr, normed + at, inverse + begin);
  });
  return out;
}

template <typename T>
at::Tensor fused_backward(const at::Tensor& d_normed, const at::Tensor& d_sum,
                          const at::Tensor& sum, const at::Tensor& inverse,
                          const at::Tensor& weight_c, const at::Tensor& gradient_c) {
  // Blocks of fixed size, so that the weight's gradient does not depend on the number of threads.
  constexpr int64_t kBlock = 64;
  const int64_t c = sum.size(-1), rows = sum.numel() / c;
  const int64_t num_blocks = (rows + kBlock - 1) / kBlock;
  const at::Tensor dy = d_normed.contiguous(), x = sum.contiguous();
  const at::Tensor ds = d_sum.defined() ? d_sum.contiguous() : d_sum;
  const at::Tensor dx = at::empty_like(x);
  const at::Tensor parts = at::zeros({num_blocks, c}, gradient_c.options());
  const T *dys = elements<T>(dy), *xs = elements<T>(x), *w = elements<T>(weight_c);
  const T* dss = ds.defined() ? elements<T>(ds) : nullptr;
  const float* r = inverse.const_data_ptr<float>();
  T* out = mutable_elements<T>(dx);
  float* d_weight = parts.mutable_data_ptr<float>();
  at::parallel_for(0, num_blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kBlock, end = std::min(rows, begin + kBlock);
      const int64_t at = begin * c;
      kernels::best_for<T>().norm_backward(dys + at, dss ? dss + at : nullptr, xs + at, r + begin,
                                           w, end - begin, c, out + at, d_weight + block * c);
    }
  });
  gradient_c.add_(at::sum(parts, {0}));
  return dx;
}

NormForward composite_forward(const at::Tensor& residual, const at::Tensor& delta,
                              const at::Tensor& weight_c, double epsilon) {
  NormForward out;
  out.sum = delta.defined() ? residual + delta : residual;
  const at::Tensor x = out.sum.to(c10::kFloat);
  out.inverse = at::rsqrt(at::mean(x * x, {-1}, /*keepdim=*/true) + epsilon);
  out.normed = (x * out.inverse).to(residual.scalar_type()) * weight_c;
  return out;
}

at::Tensor composite_backward(const at::Tensor& d_normed, const at::Tensor& d_sum,
                              const at::Tensor& sum, const at::Tensor& inverse,
                              const at::Tensor& weight_c, const at::Tensor& gradient_c) {
  const int64_t c = sum.size(-1);
  const at::Tensor dy = d_normed.to(c10::kFloat);
  const at::Tensor unit = sum.to(c10::kFloat) * inverse;
  gradient_c.add_(at::sum((dy * unit).reshape({-1, c}), {0}));
  const at::Tensor scaled = dy * weight_c.to(c10::kFloat);
  const at::Tensor projection = at::mean(scaled * unit, {-1}, /*keepdim=*/true);
  at::Tensor dx = ((scaled - unit * projection) * inverse).to(sum.scalar_type());
  return d_sum.defined() ? dx + d_sum : dx;
}

}  // namespace

NormForward norm_forward(const at::Tensor& residual, const at::Tensor& delta,
                         const at::Tensor& weight_c, double epsilon, KernelPath path) {
  if (path == KernelPath::kComposite) return composite_forward(residual, delta, weight_c, epsilon);
  return with_elements_of(residual, [&]<typename T>(T) {
    return fused_forward<T>(residual, delta, weight_c, epsilon);
  });
}

at::Tensor norm_backward(const at::Tensor& d_normed, const at::Tensor& d_sum, const at::Tensor& sum,
                         const at::Tensor& inverse, const at::Tensor& weight_c,
                         const at::Tensor& gradient_c, KernelPath path) {
  if (path == KernelPath::kComposite) {
    return composite_backward(d_normed, d_sum, sum, inverse, weight_c, gradient_c);
  }
  return with_elements_of(sum, [&]<typename T>(T) {
    return fused_backward<T>(d_normed, d_sum, sum, inverse, weight_c, gradient_c);
  });
}

}  // namespace skarv
