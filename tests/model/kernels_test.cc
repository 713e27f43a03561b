// Fused CPU kernels against the same operations made of ATen's, and every instruction set that this
// CPU runs against the portable one.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "model/cross_entropy.h"
#include "model/elements.h"
#include "model/functions.h"
#include "model/kernels/dispatch.h"
#include "model/model_fixture.h"
#include "model/normalization.h"

namespace skarv {
namespace {

constexpr double kTolerance = 2e-6;
constexpr c10::ScalarType kTypes[] = {c10::kFloat, c10::kBFloat16};

// Two ways through the same function: bf16 rounds in other places, to eight bits each time.
double tolerance_of(const at::Tensor& x) {
  return x.scalar_type() == c10::kBFloat16 ? 8e-3 : kTolerance;
}

at::Tensor random(std::vector<int64_t> sizes, uint64_t seed) {
  at::Tensor out = at::empty(sizes, at::TensorOptions().dtype(c10::kFloat));
  const CounterRandom numbers(seed, "kernels");
  float* data = out.data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) data[i] = numbers.normal(i);
  return out;
}

// Value and gradient of a function of one tensor, differentiated along a fixed direction.
template <typename Body>
std::pair<at::Tensor, at::Tensor> differentiate(const at::Tensor& x, const Body& body) {
  const c10::AutoGradMode with_gradients(true);
  const at::Tensor leaf = x.clone().requires_grad_(true);
  const at::Tensor y = body(leaf);
  torch::autograd::backward({y}, {random(y.sizes().vec(), 99).to(y.scalar_type())});
  return {y.detach(), leaf.grad()};
}

template <typename Body>
void expect_paths_agree(const at::Tensor& x, const Body& body) {
  const auto [fused, fused_gradient] =
      differentiate(x, [&](const at::Tensor& leaf) { return body(leaf, KernelPath::kFused); });
  const auto [plain, plain_gradient] =
      differentiate(x, [&](const at::Tensor& leaf) { return body(leaf, KernelPath::kComposite); });
  EXPECT_EQ(fused.scalar_type(), x.scalar_type());
  EXPECT_EQ(fused_gradient.scalar_type(), x.scalar_type());
  EXPECT_LT(relative_difference(fused, plain), tolerance_of(x));
  EXPECT_LT(relative_difference(fused_gradient, plain_gradient), tolerance_of(x));
}

void expect_norms_agree(int64_t c, c10::ScalarType type) {
  SCOPED_TRACE(testing::Message() << c << " columns of " << type);
  const at::Tensor residual = random({3, 67, c}, 1).to(type),
                   delta = random({3, 67, c}, 2).to(type);
  const at::Tensor weight = random({c}, 3).to(type), dy = random({3, 67, c}, 4).to(type);
  const double tolerance = tolerance_of(residual);
  for (const at::Tensor& d : {delta, at::Tensor()}) {
    const NormForward fused = norm_forward(residual, d, weight, 1e-5, KernelPath::kFused);
    const NormForward plain = norm_forward(residual, d, weight, 1e-5, KernelPath::kComposite);
    EXPECT_TRUE(same_bits(fused.sum, plain.sum));
    EXPECT_LT(relative_difference(fused.inverse, plain.inverse), kTolerance);
    EXPECT_LT(relative_difference(fused.normed, plain.normed), tolerance);
    const at::Tensor dw = at::zeros({c}), dw_plain = at::zeros({c});
    for (const at::Tensor& d_sum : {delta, at::Tensor()}) {
      const at::Tensor dx =
          norm_backward(dy, d_sum, plain.sum, plain.inverse, weight, dw, KernelPath::kFused);
      const at::Tensor dx_plain = norm_backward(dy, d_sum, plain.sum, plain.inverse, weight,
                                                dw_plain, KernelPath::kComposite);
      // With one column the norm's own gradient is a difference of equal numbers.
      if (c > 1) {
        EXPECT_LT(relative_difference(dx, dx_plain), tolerance);
      }
    }
    EXPECT_LT(relative_difference(dw, dw_plain), kTolerance);
  }
}

TEST(FusedKernels, NormEqualsComposite) {
  for (c10::ScalarType type : kTypes) {
    for (int64_t c : {1, 7, 64, 333}) expect_norms_agree(c, type);
  }
}

TEST(FusedKernels, AttentionEqualsComposite) {
  for (const AttentionShape& shape : {AttentionShape{6, 3, 10}, {4, 4, 32}, {5, 1, 6}}) {
    const RopeTable rope(23, shape.head_dim, 100.0, c10::Device(c10::kCPU));
    for (c10::ScalarType type : kTypes) {
      expect_paths_agree(
          random({2, 23, shape.packed()}, 5).to(type),
          [&](const at::Tensor& x, KernelPath p) { return attention(x, shape, rope, p); });
    }
  }
}

TEST(FusedKernels, SwigluEqualsComposite) {
  for (int64_t f : {1, 5, 53, 704}) {
    for (c10::ScalarType type : kTypes) {
      expect_paths_agree((random({2, 9, 2 * f}, 6) * 4.0).to(type),
                         [](const at::Tensor& x, KernelPath p) { return swiglu(x, p); });
    }
  }
}

TEST(FusedKernels, SwigluAtTheEdgesOfFloat) {
  const at::Tensor x = at::empty({1, 8}, at::TensorOptions().dtype(c10::kFloat));
  const float gate_up[] = {-1e4f, -89.0f, 0.0f, 1e4f, 1, 1, 1, 1};
  std::memcpy(x.data_ptr<float>(), gate_up, sizeof gate_up);
  const at::Tensor y = swiglu(x, KernelPath::kFused);
  EXPECT_NEAR(y[0][0].item<float>(), 0.0f, 1e-30f);
  EXPECT_NEAR(y[0][1].item<float>(), 0.0f, 1e-30f);
  EXPECT_EQ(y[0][2].item<float>(), 0.0f);
  EXPECT_EQ(y[0][3].item<float>(), 1e4f);
}

void expect_cross_entropies_agree(int64_t v, c10::ScalarType type) {
  const int64_t n = 57, c = 12;
  const at::Tensor x = (random({n, c}, 7) * 3.0).to(type), w = random({v, c}, 8).to(type);
  const double tolerance = tolerance_of(x);
  const at::Tensor targets = at::empty({n}, at::TensorOptions().dtype(c10::kLong));
  for (int64_t i = 0; i < n; ++i) targets.data_ptr<int64_t>()[i] = (i * 37) % v;
  const Weight fused{w, at::zeros({v, c})}, plain{w, at::zeros({v, c})};
  const auto a = linear_cross_entropy(x, fused, targets, 0.25, KernelPath::kFused).value();
  const auto b = linear_cross_entropy(x, plain, targets, 0.25, KernelPath::kComposite).value();
  EXPECT_NEAR(a.loss.item<float>() / b.loss.item<float>(), 1.0, kTolerance);
  EXPECT_LT(relative_difference(a.dx_nc, b.dx_nc), tolerance);
  EXPECT_LT(relative_difference(fused.gradient, plain.gradient), tolerance);
}

TEST(FusedKernels, CrossEntropyEqualsComposite) {
  for (c10::ScalarType type : kTypes) {
    for (int64_t v : {2, 31, 5000}) expect_cross_entropies_agree(v, type);
  }
}

// To nearest, ties to even; what is infinite or undefined stays so. Sums of two bf16 numbers of
// different size are every kind of fp32 number.
TEST(FusedKernels, Bf16IsRoundedAsByAten) {
  constexpr int64_t kNum = 4096;
  at::Tensor a = random({kNum}, 12), b = random({kNum}, 13);
  for (int64_t i = 0; i < kNum; ++i) b[i] *= std::exp2(static_cast<double>(i % 24) - 12);
  const float largest = 3.3895314e38f, infinite = HUGE_VALF;
  const float specials[][2] = {
      {largest, largest}, {-largest, -largest}, {infinite, 1},    {infinite, -infinite}, {NAN, 1},
      {-0.0f, -0.0f},     {1, 0.00390625f},     {1, 0.01171875f}, {1e-40f, 1e-40f}};
  for (size_t i = 0; i < std::size(specials); ++i) {
    a.data_ptr<float>()[i] = specials[i][0];
    b.data_ptr<float>()[i] = specials[i][1];
  }
  a = a.to(c10::kBFloat16);
  b = b.to(c10::kBFloat16);
  const at::Tensor wanted = a + b, weight = at::zeros_like(a);
  const auto numbers = [](const at::Tensor& t) { return mutable_elements<kernels::Bf16>(t); };
  for (const kernels::Table* table : kernels::available()) {
    SCOPED_TRACE(table->name);
    const at::Tensor sum = at::zeros_like(a), normed = at::zeros_like(a);
    float inverse = 0;
    table->bf16.norm_forward(numbers(a), numbers(b), numbers(weight), 1e-5f, 1, kNum, numbers(sum),
                             numbers(normed), &inverse);
    for (int64_t i = 0; i < kNum; ++i) {
      const float got = sum[i].item<float>(), due = wanted[i].item<float>();
      EXPECT_TRUE(std::isnan(due) ? std::isnan(got) : got == due)
          << i << ": " << got << ", " << due;
    }
  }
}

TEST(FusedKernels, EveryInstructionSetAgrees) {
  const kernels::Table& portable = *kernels::available().front();
  constexpr int64_t kRows = 5, kColumns = 77;
  const at::Tensor gate_up = random({kRows, 2 * kColumns}, 9) * 6.0;
  const at::Tensor logits = random({kRows, kColumns}, 10) * 6.0;
  const int64_t targets[kRows] = {0, 76, 3, 40, 12};
  const auto swiglu_by = [&](const kernels::Table& table) {
    at::Tensor out = at::empty({kRows, kColumns}, gate_up.options());
    table.fp32.swiglu_forward(gate_up.data_ptr<float>(), kRows, kColumns, out.data_ptr<float>());
    return out;
  };
  const auto cross_entropy_by = [&](const kernels::Table& table) {
    at::Tensor out = logits.clone();
    const double loss = table.cross_entropy(out.data_ptr<float>(), targets, kRows, kColumns, 0.5f);
    return std::pair(loss, out);
  };
  const auto [loss, gradient] = cross_entropy_by(portable);
  EXPECT_TRUE(std::isfinite(loss));
  for (const kernels::Table* table : kernels::available()) {
    SCOPED_TRACE(table->name);
    EXPECT_LT(relative_difference(swiglu_by(*table), swiglu_by(portable)), kTolerance);
    EXPECT_NEAR(cross_entropy_by(*table).first / loss, 1.0, kTolerance);
    EXPECT_LT(relative_difference(cross_entropy_by(*table).second, gradient), kTolerance);
  }
}

}  // namespace
}  // namespace skarv
