// Kernels of the toy's own arithmetic (loops.h) for fp32; other types and layouts go to the host's
// kernels (host_call.h).
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adamw_ops.h>
#include <ATen/ops/_log_softmax_backward_data_ops.h>
#include <ATen/ops/_log_softmax_ops.h>
#include <ATen/ops/_softmax_backward_data_ops.h>
#include <ATen/ops/_softmax_ops.h>
#include <ATen/ops/silu_backward_ops.h>
#include <ATen/ops/silu_ops.h>
#include <torch/library.h>

#include <algorithm>

#include "host_call.h"
#include "loops.h"
#include "memory.h"

namespace toy {
namespace {

// A tensor as rows along its last dim, at whatever strides the others have.
class Rows {
 public:
  explicit Rows(const at::Tensor& tensor)
      : sizes_(tensor.sizes()),
        strides_(tensor.strides()),
        width_(tensor.dim() == 0 ? 1 : tensor.size(-1)),
        count_(width_ == 0 ? 0 : tensor.numel() / width_),
        first_(static_cast<float*>(to_host(tensor.const_data_ptr()))) {}

  int64_t width() const { return width_; }
  int64_t count() const { return count_; }
  float* operator[](int64_t row) const {
    int64_t offset = 0;
    for (int64_t dim = static_cast<int64_t>(sizes_.size()) - 2; dim >= 0; --dim) {
      offset += row % sizes_[dim] * strides_[dim];
      row /= sizes_[dim];
    }
    return first_ + offset;
  }

 private:
  const at::IntArrayRef sizes_, strides_;
  const int64_t width_, count_;
  float* const first_;
};

bool has_rows(const at::Tensor& tensor) {
  return is_toy(tensor) && tensor.scalar_type() == at::kFloat &&
         (tensor.dim() == 0 || tensor.size(-1) <= 1 || tensor.stride(-1) == 1);
}

// All of one shape, on one device, in rows of floats.
bool suit(const at::Tensor& first, const at::Tensor& second) {
  return has_rows(first) && has_rows(second) && first.sizes() == second.sizes() &&
         first.device() == second.device();
}

bool is_last(const at::Tensor& tensor, int64_t dim) {
  return tensor.dim() > 0 && (dim == -1 || dim == tensor.dim() - 1);
}

// Rows are shared among the threads that the host's kernels use too.
template <typename Body>
void for_rows(const Rows& rows, Body&& body) {
  constexpr int64_t kElementsPerTask = 16384;
  const int64_t grain = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, rows.width()));
  at::parallel_for(0, rows.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

at::Tensor& silu_out(const at::Tensor& x, at::Tensor& out) {
  using Op = at::_ops::silu_out;
  if (!suit(x, out)) return OnHost<Op>::call(x, out);
  const Counted counted(counter_of<Op, Way::kOwn>());
  const Rows from(x), to(out);
  for_rows(to, [&](int64_t row) { silu(from[row], to[row], to.width()); });
  return out;
}

at::Tensor& silu_backward_out(const at::Tensor& dy, const at::Tensor& x, at::Tensor& dx) {
  using Op = at::_ops::silu_backward_grad_input;
  if (!suit(x, dx) || !suit(dy, dx)) return OnHost<Op>::call(dy, x, dx);
  const Counted counted(counter_of<Op, Way::kOwn>());
  const Rows gradient(dy), from(x), to(dx);
  for_rows(to, [&](int64_t row) { silu_backward(gradient[row], from[row], to[row], to.width()); });
  return dx;
}

// _softmax and _log_softmax differ in the loop only; so do their gradients.
template <typename Op, auto kLoop>
at::Tensor& normalize(const at::Tensor& x, int64_t dim, bool half_to_float, at::Tensor& out) {
  if (half_to_float || !suit(x, out) || !is_last(x, dim)) {
    return OnHost<Op>::call(x, dim, half_to_float, out);
  }
  const Counted counted(counter_of<Op, Way::kOwn>());
  const Rows from(x), to(out);
  for_rows(to, [&](int64_t row) { kLoop(from[row], to[row], 1, to.width()); });
  return out;
}

template <typename Op, auto kLoop>
at::Tensor& normalize_backward(const at::Tensor& dy, const at::Tensor& y, int64_t dim,
                               at::ScalarType type, at::Tensor& dx) {
  if (type != at::kFloat || !suit(y, dx) || !suit(dy, dx) || !is_last(y, dim)) {
    return OnHost<Op>::call(dy, y, dim, type, dx);
  }
  const Counted counted(counter_of<Op, Way::kOwn>());
  const Rows gradient(dy), from(y), to(dx);
  for_rows(to, [&](int64_t row) { kLoop(gradient[row], from[row], to[row], 1, to.width()); });
  return dx;
}

bool suit_adamw(const at::Tensor& weight, std::initializer_list<at::Tensor> others) {
  const auto plain = [](const at::Tensor& tensor) {
    return is_toy(tensor) && tensor.scalar_type() == at::kFloat && tensor.is_contiguous();
  };
  return plain(weight) && std::all_of(others.begin(), others.end(), [&](const at::Tensor& other) {
           return plain(other) && other.sizes() == weight.sizes() &&
                  other.device() == weight.device();
         });
}

void fused_adamw(at::TensorList weights, at::TensorList gradients, at::TensorList first_moments,
                 at::TensorList second_moments, at::TensorList max_second_moments,
                 at::TensorList steps, double learning_rate, double beta1, double beta2,
                 double weight_decay, double epsilon, bool amsgrad, bool maximize,
                 const std::optional<at::Tensor>& gradient_scale,
                 const std::optional<at::Tensor>& found_inf) {
  using Op = at::_ops::_fused_adamw_;
  bool suits = !amsgrad && !gradient_scale && !found_inf;
  for (size_t i = 0; suits && i < weights.size(); ++i) {
    suits = suit_adamw(weights[i], {gradients[i], first_moments[i], second_moments[i]}) &&
            has_rows(steps[i]) && steps[i].numel() == 1;
  }
  if (!suits) {
    return OnHost<Op>::call(weights, gradients, first_moments, second_moments, max_second_moments,
                            steps, learning_rate, beta1, beta2, weight_decay, epsilon, amsgrad,
                            maximize, gradient_scale, found_inf);
  }
  const Counted counted(counter_of<Op, Way::kOwn>());
  const auto floats = [](const at::Tensor& tensor) {
    return static_cast<float*>(to_host(tensor.const_data_ptr()));
  };
  for (size_t i = 0; i < weights.size(); ++i) {
    const AdamW settings{learning_rate,     beta1,   beta2, weight_decay, epsilon,
                         *floats(steps[i]), maximize};
    float* const weight = floats(weights[i]);
    const float* const gradient = floats(gradients[i]);
    float* const first = floats(first_moments[i]);
    float* const second = floats(second_moments[i]);
    at::parallel_for(0, weights[i].numel(), 65536, [&](int64_t begin, int64_t end) {
      adamw(weight + begin, gradient + begin, first + begin, second + begin, end - begin, settings);
    });
  }
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace at::_ops;  // NOLINT
  library.impl("silu.out", &toy::silu_out);
  library.impl("silu_backward.grad_input", &silu_backward_out);
  library.impl("_softmax.out", &normalize<_softmax_out, &softmax>);
  library.impl("_log_softmax.out", &normalize<_log_softmax_out, &log_softmax>);
  library.impl("_softmax_backward_data.out",
               &normalize_backward<_softmax_backward_data_out, &softmax_backward>);
  library.impl("_log_softmax_backward_data.out",
               &normalize_backward<_log_softmax_backward_data_out, &log_softmax_backward>);
  library.impl("_fused_adamw_", &fused_adamw);
}

}  // namespace
}  // namespace toy
