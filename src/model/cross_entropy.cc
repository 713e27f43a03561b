#include "model/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/log.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "model/kernels/dispatch.h"
#include "model/matrix.h"
#include "model/parallel.h"

namespace skarv {
namespace {

// Large enough for full speed of the products, small against the activations of a stage.
int64_t rows_per_chunk(const at::Tensor& x_nc, int64_t vocabulary) {
  const int64_t bytes = x_nc.is_cpu() ? int64_t{32} << 20 : int64_t{256} << 20;
  return std::clamp<int64_t>(bytes / (4 * vocabulary), 16, x_nc.size(0));
}

// Of all rows before anything is accumulated.
Status check_targets(const at::Tensor& targets_n, int64_t vocabulary) {
  const int64_t* targets = targets_n.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < targets_n.numel(); ++i) {
    if (targets[i] < 0 || targets[i] >= vocabulary) {
      return config_error("target " + std::to_string(targets[i]) + " of token " +
                          std::to_string(i) + " is outside the vocabulary of " +
                          std::to_string(vocabulary))
          .with_hint("the corpus was tokenized for another model");
    }
  }
  return Status();
}

// Turns logits [r, v] into the gradient of scale * loss in place (scale 0: into nothing of use) and
// returns the loss.
double fused_loss(const at::Tensor& logits, const at::Tensor& targets, double scale) {
  const int64_t rows = logits.size(0), v = logits.size(1);
  float* x = logits.mutable_data_ptr<float>();
  const int64_t* target = targets.const_data_ptr<int64_t>();
  std::vector<double> losses(rows);  // summed in order of rows, whatever the threads
  for_row_ranges(rows, v, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      losses[row] =
          kernels::best().cross_entropy(x + row * v, target + row, 1, v, static_cast<float>(scale));
    }
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

// The same of ATen operations; the loss is added to `loss` on the device.
void composite_loss(const at::Tensor& logits, const at::Tensor& targets, double scale,
                    const at::Tensor& loss) {
  const at::Tensor target = targets.unsqueeze(1);
  logits.sub_(at::amax(logits, {1}, /*keepdim=*/true));
  const at::Tensor wanted = at::gather(logits, 1, target);
  const at::Tensor total = at::sum(logits.exp_(), {1}, /*keepdim=*/true);
  loss.add_(at::sum(at::log(total) - wanted));
  if (scale == 0) return;
  logits.mul_(scale / total);
  logits.scatter_add_(1, target, at::full(target.sizes(), -scale, logits.options()));
}

}  // namespace

Result<CrossEntropy> linear_cross_entropy(const at::Tensor& x_nc, const Weight& weight_vc,
                                          const at::Tensor& targets_n,
                                          std::optional<double> gradient_scale, KernelPath path) {
  const int64_t n = x_nc.size(0), vocabulary = weight_vc.value.size(0);
  const at::Tensor targets = targets_n.contiguous();
  if (targets.is_cpu()) SKARV_TRY(check_targets(targets, vocabulary));
  const int64_t chunk = rows_per_chunk(x_nc, vocabulary);
  const double scale = gradient_scale.value_or(0.0);
  CrossEntropy out;
  out.loss = at::zeros({}, x_nc.options().dtype(c10::kFloat));
  if (gradient_scale) out.dx_nc = at::zeros_like(x_nc);
  double loss = 0;
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t rows = std::min(chunk, n - begin);
    const at::Tensor x = x_nc.narrow(0, begin, rows);
    const at::Tensor target = targets.narrow(0, begin, rows);
    const at::Tensor logits = linear_forward(x, weight_vc.value).to(c10::kFloat);
    if (path == KernelPath::kFused) {
      loss += fused_loss(logits, target, scale);
    } else {
      composite_loss(logits, target, scale, out.loss);
    }
    if (scale == 0) continue;
    const at::Tensor d_logits = logits.to(x.scalar_type());
    out.dx_nc.narrow(0, begin, rows).copy_(linear_backward_input(d_logits, weight_vc.value));
    linear_backward_weight(d_logits, x, weight_vc.gradient);
  }
  if (path == KernelPath::kFused) out.loss.fill_(loss);
  return out;
}

}  // namespace skarv
