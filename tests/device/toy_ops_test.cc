// The toy against the CPU, op by op: the same function of the same inputs on both.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/IListRef.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <functional>
#include <limits>

#include "device/torch_error.h"
#include "device/toy.h"

namespace skarv {
namespace {

using Inputs = std::vector<at::Tensor>;

struct OpCase {
  const char* name;
  std::function<Inputs()> inputs;
  std::function<at::Tensor(const Inputs&)> run;
  double tolerance = 2e-6;
};

at::Tensor randn(at::IntArrayRef sizes) { return at::randn(sizes); }
at::Tensor ids(int64_t below, at::IntArrayRef sizes) {
  return at::randint(below, sizes, at::kLong);
}

// x is of shape (3, 4, 8) unless the case says otherwise.
Inputs one() { return {randn({3, 4, 8})}; }
Inputs two() { return {randn({3, 4, 8}), randn({3, 4, 8})}; }

const OpCase kCases[] = {
    {"mm",
     [] {
       return Inputs{randn({5, 7}), randn({7, 3})};
     },
     [](const Inputs& x) { return x[0].mm(x[1]); }},
    {"mm_transposed",
     [] {
       return Inputs{randn({7, 5}), randn({3, 7})};
     },
     [](const Inputs& x) { return x[0].t().mm(x[1].t()); }},
    {"mm_large",
     [] {
       return Inputs{randn({130, 301}), randn({301, 1100})};
     },
     [](const Inputs& x) { return x[0].mm(x[1]); }},
    {"mm_row",
     [] {
       return Inputs{randn({1, 600}), randn({600, 1})};
     },
     [](const Inputs& x) { return x[0].mm(x[1]); }, 1e-5},
    {"mm_empty",
     [] {
       return Inputs{randn({3, 0}), randn({0, 2})};
     },
     [](const Inputs& x) { return x[0].mm(x[1]); }},
    {"mm_into_strided",
     [] {
       return Inputs{randn({5, 7}), randn({7, 3})};
     },
     [](const Inputs& x) {
       at::Tensor out = at::zeros_like(x[0]).detach();
       at::Tensor part = out.narrow(1, 2, 3);
       at::mm_out(part, x[0].detach(), x[1].detach());
       return out;
     }},
    {"addmm_beta_zero",
     [] {
       return Inputs{at::full({5, 3}, NAN), randn({5, 7}), randn({7, 3})};
     },
     [](const Inputs& x) { return at::addmm(x[0].detach(), x[1], x[2], 0.0, -1.5); }},
    {"bmm_expanded",
     [] {
       return Inputs{randn({1, 5, 7}), randn({4, 3, 7})};
     },
     [](const Inputs& x) {
       return x[0].expand({4, 5, 7}).bmm(x[1].transpose(1, 2));
     }},
    {"bmm_double",
     [] {
       return Inputs{randn({2, 5, 7}), randn({2, 7, 3})};
     },
     [](const Inputs& x) { return x[0].to(at::kDouble).bmm(x[1].to(at::kDouble)); }},
    {"addmm",
     [] {
       return Inputs{randn({3}), randn({5, 7}), randn({7, 3})};
     },
     [](const Inputs& x) { return at::addmm(x[0], x[1], x[2], 0.5, 2.0); }},
    {"addmm_in_place",
     [] {
       return Inputs{randn({5, 3}), randn({5, 7}), randn({7, 3})};
     },
     [](const Inputs& x) { return x[0].mul(1).addmm_(x[1], x[2]); }},
    {"bmm",
     [] {
       return Inputs{randn({2, 5, 7}), randn({2, 7, 3})};
     },
     [](const Inputs& x) { return x[0].bmm(x[1]); }},
    {"baddbmm",
     [] {
       return Inputs{randn({2, 5, 3}), randn({2, 5, 7}), randn({2, 7, 3})};
     },
     [](const Inputs& x) { return at::baddbmm(x[0], x[1], x[2]); }},
    {"matmul_4d",
     [] {
       return Inputs{randn({2, 3, 5, 7}), randn({2, 3, 7, 4})};
     },
     [](const Inputs& x) { return at::matmul(x[0], x[1]); }},
    {"linear",
     [] {
       return Inputs{randn({2, 4, 8}), randn({5, 8})};
     },
     [](const Inputs& x) { return at::linear(x[0], x[1]); }},
    {"add_broadcast",
     [] {
       return Inputs{randn({3, 4, 8}), randn({8})};
     },
     [](const Inputs& x) { return x[0] + x[1] * 3; }},
    {"add_scalar", one, [](const Inputs& x) { return x[0] + 1.5; }},
    {"sub_div", two, [](const Inputs& x) { return (x[0] - x[1]) / (x[1] * x[1] + 1); }},
    {"add_strided", two,
     [](const Inputs& x) { return x[0].transpose(0, 2) + x[1].transpose(0, 2); }},
    {"add_in_place_view", one,
     [](const Inputs& x) {
       const at::Tensor y = x[0].clone();
       y.narrow(1, 1, 2).add_(1).mul_(2);
       return y;
     }},
    {"integers_to_float", [] { return Inputs{ids(9, {6})}; },
     [](const Inputs& x) { return x[0].to(at::kFloat) * 0.5; }},
    {"compare_and_where", two,
     [](const Inputs& x) { return at::where(x[0] > x[1], x[0], at::zeros_like(x[1])); }},
    {"masked_fill", one,
     [](const Inputs& x) { return x[0].masked_fill(x[0] < 0, -1e30).clamp_min(-2); }},
    {"unary", one,
     [](const Inputs& x) {
       return x[0].neg() + x[0].exp() + x[0].sin() * x[0].cos() + at::sigmoid(x[0]) +
              x[0].abs().sqrt();
     }},
    {"pow_mean_rsqrt", one,
     [](const Inputs& x) { return x[0] * at::rsqrt(x[0].pow(2).mean(-1, true) + 1e-5); }},
    {"rms_norm",
     [] {
       return Inputs{randn({3, 4, 8}), randn({8})};
     },
     [](const Inputs& x) { return at::rms_norm(x[0], {8}, x[1], 1e-5); }},
    {"silu", one, [](const Inputs& x) { return at::silu(x[0]); }},
    {"silu_strided", one, [](const Inputs& x) { return at::silu(x[0].transpose(0, 1)); }},
    {"softmax", one, [](const Inputs& x) { return at::softmax(x[0], -1); }},
    {"softmax_wide_range",
     [] {
       return Inputs{randn({4, 301}) * 60};
     },
     [](const Inputs& x) { return at::softmax(x[0], -1) + at::log_softmax(x[0], -1) * 1e-3; }},
    {"softmax_masked", one,
     [](const Inputs& x) {
       const double infinity = std::numeric_limits<double>::infinity();
       return at::softmax(x[0].masked_fill(x[0] < 0, -infinity), -1).nan_to_num();
     }},
    {"silu_range", [] { return Inputs{randn({1000}) * 100}; },
     [](const Inputs& x) { return at::silu(x[0]); }},
    {"softmax_inner", one, [](const Inputs& x) { return at::softmax(x[0], 1); }},
    {"log_softmax", one, [](const Inputs& x) { return at::log_softmax(x[0], -1); }},
    {"sums", one,
     [](const Inputs& x) {
       return x[0].sum() + x[0].sum(0).mean() + x[0].sum({0, 1}).norm();
     }},
    {"max_and_argmax", one,
     [](const Inputs& x) { return x[0].amax(-1) + x[0].argmax(-1).to(at::kFloat); }},
    {"cat_stack", two,
     [](const Inputs& x) {
       return at::cat({x[0], x[1], at::stack({x[0], x[1]}).select(0, 1)}, 1);
     }},
    {"chunks_and_views", one,
     [](const Inputs& x) {
       const auto halves = x[0].chunk(2, -1);
       return at::cat({halves[1].neg(), halves[0]}, -1)
           .permute({2, 0, 1})
           .reshape({8, -1})
           .contiguous();
     }},
    {"expand_repeat",
     [] {
       return Inputs{randn({3, 1, 4})};
     },
     [](const Inputs& x) {
       return x[0].expand({3, 5, 4}).contiguous() + x[0].repeat({1, 5, 1}) +
              x[0].repeat_interleave(5, 1);
     }},
    {"embedding",
     [] {
       return Inputs{randn({11, 6}), ids(11, {3, 4})};
     },
     [](const Inputs& x) { return at::embedding(x[0], x[1]); }},
    {"index_and_gather",
     [] {
       return Inputs{randn({11, 6}), ids(11, {5}), ids(6, {11, 2})};
     },
     [](const Inputs& x) {
       return x[0].index({x[1]}).sum(0) + x[0].index_select(0, x[1]).sum(0) +
              x[0].gather(1, x[2]).sum();
     }},
    {"tril",
     [] {
       return Inputs{randn({5, 5})};
     },
     [](const Inputs& x) { return at::tril(x[0], -1); }},
    {"arange_outer", [] { return Inputs{randn({4})}; },
     [](const Inputs& x) {
       return at::outer(at::arange(6, x[0].options()), x[0]) + at::full({}, 2.0, x[0].options());
     }},
    {"attention_causal",
     [] {
       return Inputs{randn({2, 4, 6, 8}), randn({2, 2, 6, 8}), randn({2, 2, 6, 8})};
     },
     [](const Inputs& x) {
       return at::scaled_dot_product_attention(x[0], x[1], x[2], {}, 0.0, /*is_causal=*/true, {},
                                               /*enable_gqa=*/true);
     }},
    {"cross_entropy",
     [] {
       return Inputs{randn({6, 11}), ids(11, {6})};
     },
     [](const Inputs& x) { return at::cross_entropy_loss(x[0], x[1]); }},
    {"cross_entropy_sum",
     [] {
       return Inputs{randn({6, 11}), ids(11, {6})};
     },
     [](const Inputs& x) { return at::cross_entropy_loss(x[0], x[1], {}, /*reduction=*/2); }},
    {"bf16", two,
     [](const Inputs& x) {
       const at::Tensor a = x[0].to(at::kBFloat16), b = x[1].to(at::kBFloat16);
       return (at::silu(a) * b).view({12, 8}).mm(b.view({12, 8}).t()).to(at::kFloat);
     },
     1e-2},
};

void PrintTo(const OpCase& op, std::ostream* out) { *out << op.name; }

class ToyOpsTest : public ToyTest, public testing::WithParamInterface<OpCase> {
 protected:
  void SetUp() override { at::manual_seed(5); }
};

// Forward, and backward where an input is a float: gradients with respect to all of them.
TEST_P(ToyOpsTest, EqualsTheCpu) {
  const OpCase& op = GetParam();
  const Inputs host = op.inputs();
  Inputs toy;
  for (const at::Tensor& input : host) {
    toy.push_back(on_toy(input));
    if (!input.is_floating_point()) continue;
    input.requires_grad_();
    toy.back().requires_grad_();
  }
  const at::Tensor expected = op.run(host);
  const at::Tensor result = op.run(toy);
  ASSERT_EQ(result.device().type(), at::kPrivateUse1);
  ASSERT_EQ(result.sizes(), expected.sizes());
  EXPECT_LE(difference(result, expected), op.tolerance);
  if (!expected.requires_grad()) return;
  const at::Tensor direction = randn(expected.sizes());
  expected.backward(direction);
  result.backward(on_toy(direction));
  for (size_t i = 0; i < host.size(); ++i) {
    if (!host[i].grad().defined()) continue;
    EXPECT_LE(difference(toy[i].grad(), host[i].grad()), op.tolerance) << "gradient " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ToyOpsTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(ToyOpsTest, NotANumberStaysOne) {
  const at::Tensor x = on_toy(at::full({2, 3}, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(at::silu(x).isnan().all().item<bool>());
  EXPECT_TRUE(at::softmax(x, -1).isnan().all().item<bool>());
  EXPECT_TRUE(at::log_softmax(x, -1).isnan().all().item<bool>());
  EXPECT_TRUE(x.mm(on_toy(at::full({3, 2}, 1.0f))).isnan().all().item<bool>());
}

TEST_F(ToyOpsTest, ProductsDoNotDependOnTheNumberOfThreads) {
  const at::Tensor a = on_toy(randn({200, 300})), b = on_toy(randn({300, 500}));
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor alone = a.mm(b);
  at::set_num_threads(2);
  const at::Tensor shared = a.mm(b);
  at::set_num_threads(before);
  EXPECT_TRUE(shared.equal(alone));
}

TEST_F(ToyOpsTest, RowsOutsideATableAreErrors) {
  const at::Tensor table = on_toy(randn({4, 3}));
  for (int64_t row : {-1, 4}) {
    const at::Tensor number = on_toy(at::full({1}, row, at::kLong));
    EXPECT_FALSE(guarded("lookup", [&] { at::embedding(table, number); }).ok()) << row;
  }
}

TEST_F(ToyOpsTest, ForeachOpsEqualTheCpu) {
  const Inputs host{randn({4, 3}), randn({7})};
  const Inputs toy{on_toy(host[0]), on_toy(host[1])};
  for (const Inputs* list : {&host, &toy}) {
    at::_foreach_mul_(*list, 0.5);
    at::_foreach_add_(*list, *list, 2.0);
  }
  EXPECT_LE(difference(toy[0], host[0]), 0);
  EXPECT_LE(difference(toy[1], host[1]), 0);
  EXPECT_LE(difference(at::_foreach_norm(toy)[0], at::_foreach_norm(host)[0]), 2e-6);
}

TEST_F(ToyOpsTest, ScalarsAndPredicatesComeBackToTheHost) {
  const at::Tensor x = on_toy(at::arange(6, at::kFloat));
  EXPECT_EQ(x.sum().item<float>(), 15);
  EXPECT_TRUE(x.equal(x.clone()));
  EXPECT_TRUE(x.isfinite().all().item<bool>());
  EXPECT_EQ(x.nonzero().size(0), 5);
}

}  // namespace
}  // namespace skarv
