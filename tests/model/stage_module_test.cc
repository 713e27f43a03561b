#include "model/stage_module.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "model/model_fixture.h"

namespace skarv {
namespace {

constexpr int64_t kBatch = 2;

void expect_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                 const Model& model) {
  const auto specs = tensors_of(model);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << specs[i].name;
}

void expect_close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                  const Model& model, double tolerance) {
  const auto specs = tensors_of(model);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LT(relative_difference(a[i], b[i]), tolerance) << specs[i].name;
  }
}

// Precision decides the path: fused kernels in fp32, ATen operations in bf16.
class StagesOf : public testing::TestWithParam<std::tuple<Precision, bool>> {
 protected:
  StagesOf() {
    model_.tied_head = std::get<1>(GetParam());
    sample_ = sample_of(model_, kBatch, model_.context, 3);
  }
  Chain chain(const std::vector<int>& cuts, Recompute recompute = Recompute::kNone) const {
    return Chain(model_, cuts, recompute, std::get<0>(GetParam()));
  }
  Model model_ = small_model();
  Sample sample_;
};

TEST_P(StagesOf, CutAnywhereGiveTheSameBits) {
  Chain whole = chain({});
  const double loss = whole.forward(0, sample_);
  whole.backward(0);
  for (const std::vector<int>& cuts : {every_layer(model_), {1}, {2, 3}, {4}}) {
    Chain stages = chain(cuts);
    EXPECT_EQ(stages.forward(0, sample_), loss);
    stages.backward(0);
    expect_same(stages.gradients(), whole.gradients(), model_);
  }
}

TEST_P(StagesOf, RecomputationGivesTheSameBits) {
  Chain plain = chain({2});
  Chain again = chain({2}, Recompute::kFull);
  EXPECT_EQ(again.forward(0, sample_), plain.forward(0, sample_));
  plain.backward(0);
  again.backward(0);
  expect_same(again.gradients(), plain.gradients(), model_);
}

TEST_P(StagesOf, SplitBackwardGivesTheSameBits) {
  for (Recompute recompute : {Recompute::kNone, Recompute::kFull}) {
    Chain whole = chain({1, 3}, recompute);
    Chain split = chain({1, 3}, recompute);
    const Sample other = sample_of(model_, 1, 7, 4);
    for (Chain* each : {&whole, &split}) {
      each->forward(0, sample_);
      each->forward(1, other);
    }
    whole.backward(0);
    whole.backward(1);
    split.backward_input(0);
    split.backward_input(1);
    EXPECT_EQ(split.stage(1).num_in_flight(), 2);
    split.backward_weight(0);
    split.backward_weight(1);
    EXPECT_EQ(split.stage(1).num_in_flight(), 0);
    expect_same(split.gradients(), whole.gradients(), model_);
  }
}

TEST_P(StagesOf, EvaluationGivesTheLossOfForward) {
  Chain stages = chain({});
  const double loss = stages.forward(0, sample_);
  const auto evaluated =
      stages.stage(0).evaluate({sample_.tokens_bt, at::Tensor(), sample_.targets_bt});
  ASSERT_TRUE(evaluated.ok()) << evaluated.status();
  EXPECT_EQ(evaluated.value().item<float>(), loss);
}

INSTANTIATE_TEST_SUITE_P(Precisions, StagesOf,
                         testing::Combine(testing::Values(Precision::kFp32, Precision::kBf16),
                                          testing::Bool()));

TEST(StageModule, MicrobatchesInFlightInAnyOrder) {
  const Model model = small_model();
  std::vector<Sample> samples;
  for (int i = 0; i < 3; ++i) samples.push_back(sample_of(model, 1 + i, 5 + i, 10 + i));
  Chain alone(model, {2});
  for (int i = 0; i < 3; ++i) {
    alone.forward(i, samples[i]);
    alone.backward(i);
  }
  Chain together(model, {2});
  for (int i = 0; i < 3; ++i) together.forward(i, samples[i]);
  together.backward_input(1);
  together.backward(2);
  together.backward(0);
  together.backward_weight(1);
  expect_close(together.gradients(), alone.gradients(), model, 1e-6);
}

TEST(StageModule, GradientsAreThoseOfTheLoss) {
  // Along its gradient the loss grows by the gradient's squared norm, to first order.
  const Model model = small_model();
  const Sample sample = sample_of(model, kBatch, model.context, 5);
  Chain chain(model, {});
  chain.forward(0, sample);
  chain.backward(0);
  double squared_norm = 0;
  for (const at::Tensor& g : chain.gradients()) squared_norm += g.pow(2).sum().item<double>();
  const auto loss_at = [&](double step) {
    const std::vector<at::Tensor> g = chain.gradients();
    const auto& parameters = chain.store().parameters();
    for (size_t i = 0; i < g.size(); ++i) parameters[i].value.add_(g[i], step);
    const StageInput input{sample.tokens_bt, at::Tensor(), sample.targets_bt};
    const double loss = chain.stage(0).evaluate(input).value().item<double>();
    for (size_t i = 0; i < g.size(); ++i) parameters[i].value.sub_(g[i], step);
    return loss / static_cast<double>(sample.tokens_bt.numel());
  };
  const double step = 2e-3 / std::sqrt(squared_norm);
  EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2 * step * squared_norm), 1.0, 2e-2);
}

TEST(StageModule, Bf16IsCloseToFp32) {
  const Model model = small_model();
  const Sample sample = sample_of(model, kBatch, model.context, 6);
  Chain exact(model, {});
  Chain rough(model, {}, Recompute::kNone, Precision::kBf16);
  const double loss = exact.forward(0, sample);
  EXPECT_NEAR(rough.forward(0, sample) / loss, 1.0, 2e-3);
  exact.backward(0);
  rough.backward(0);
  EXPECT_EQ(rough.gradients()[0].scalar_type(), c10::kFloat);
  expect_close(rough.gradients(), exact.gradients(), model, 5e-2);
}

TEST(StageModule, LastLogitsAreThoseBehindTheLoss) {
  // The loss of one token is logsumexp(logits) - logits[target].
  const Model model = small_model();
  const Sample sample = sample_of(model, 1, 1, 8);
  Chain chain(model, {});
  const double loss = chain.forward(0, sample);
  const auto logits = chain.stage(0).last_logits(sample.tokens_bt);
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(logits.value().sizes(), (std::vector<int64_t>{1, model.vocabulary}));
  const at::Tensor row = logits.value()[0].to(c10::kDouble);
  const double target = row[sample.targets_bt.item<int64_t>()].item<double>();
  EXPECT_NEAR(row.exp().sum().log().item<double>() - target, loss, 1e-5);
}

TEST(StageModule, MoreTokensThanTheContext) {
  const Model model = small_model();
  const Sample sample = sample_of(model, 1, model.context + 6, 9);
  Chain chain(model, {});
  const at::Tensor long_logits = chain.stage(0).last_logits(sample.tokens_bt).value();
  Model longer = model;
  longer.context += 6;
  Chain same(longer, {});
  EXPECT_TRUE(same_bits(long_logits, same.stage(0).last_logits(sample.tokens_bt).value()));
}

TEST(StageModule, MisuseIsAStatus) {
  const Model model = small_model();
  const Sample sample = sample_of(model, 1, 4, 1);
  Chain chain(model, {2});
  StageModule& first = chain.stage(0);
  const StageInput good{sample.tokens_bt, at::Tensor(), sample.targets_bt};
  EXPECT_FALSE(first.backward(0, at::Tensor()).ok());
  EXPECT_FALSE(first.forward(0, {}, 1.0).ok());
  EXPECT_FALSE(chain.stage(1).forward(0, good, 1.0).ok()) << "needs an activation";
  ASSERT_TRUE(first.forward(0, good, 1.0).ok());
  EXPECT_FALSE(first.forward(0, good, 1.0).ok()) << "in flight already";
  EXPECT_FALSE(first.backward_weight(0).ok()) << "no backward for inputs yet";
  EXPECT_FALSE(first.backward(0, at::zeros({1, 3, model.hidden})).ok()) << "other shape";
  ASSERT_TRUE(first.backward_input(0, at::zeros({1, 4, model.hidden})).ok());
  EXPECT_FALSE(first.backward_input(0, at::zeros({1, 4, model.hidden})).ok());
  first.clear();
  EXPECT_EQ(first.num_in_flight(), 0);
  EXPECT_FALSE(first.last_logits(sample.tokens_bt).ok()) << "has no head";
}

TEST(StageModule, IdsOutsideTheVocabularyAreAStatus) {
  const Model model = small_model();
  Chain chain(model, {});
  for (int64_t id : {int64_t{-1}, model.vocabulary}) {
    Sample bad = sample_of(model, 1, 4, 1);
    bad.tokens_bt[0][2] = id;
    EXPECT_FALSE(chain.stage(0).forward(0, {bad.tokens_bt, {}, bad.targets_bt}, 1.0).ok());
    Sample worse = sample_of(model, 1, 4, 1);
    worse.targets_bt[0][2] = id;
    EXPECT_FALSE(chain.stage(0).forward(0, {worse.tokens_bt, {}, worse.targets_bt}, 1.0).ok());
  }
  EXPECT_EQ(chain.stage(0).num_in_flight(), 0);
}

}  // namespace
}  // namespace skarv
