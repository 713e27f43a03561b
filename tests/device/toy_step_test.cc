// A training step of a small decoder on the toy against the CPU: losses, gradients, weights, and
// how much of the step the toy's own kernels do.
#include <ATen/TensorOperators.h>
#include <ATen/core/IListRef.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros_like.h>

#include <chrono>
#include <iostream>

#include "device/profile_ops.h"
#include "device/toy.h"

namespace skarv {
namespace {

struct Shape {
  int64_t num_layers, width, num_heads, num_kv_heads, ffn, vocabulary, batch, length;
};

// Suffixes: b batch, t position, d width, h head, v vocabulary.
class Decoder {
 public:
  Decoder(const Shape& shape, at::Device device) : shape_(shape), device_(device) {
    const int64_t head = shape.width / shape.num_heads;
    add({shape.vocabulary, shape.width});
    for (int64_t i = 0; i < shape.num_layers; ++i) {
      add({shape.width});
      add({(shape.num_heads + 2 * shape.num_kv_heads) * head, shape.width});
      add({shape.width, shape.num_heads * head});
      add({shape.width});
      add({2 * shape.ffn, shape.width});
      add({shape.width, shape.ffn});
    }
    add({shape.width});
    for (const at::Tensor& weight : weights) {
      first_moments_.push_back(at::zeros_like(weight).detach());
      second_moments_.push_back(at::zeros_like(weight).detach());
      steps_.push_back(at::full({}, 0.0, weight.options().requires_grad(false)));
    }
  }

  at::Tensor loss(const at::Tensor& tokens_bt, const at::Tensor& targets_bt) {
    size_t next = 0;
    const at::Tensor table = weights[next++];
    at::Tensor x_btd = at::embedding(table, tokens_bt);
    for (int64_t i = 0; i < shape_.num_layers; ++i) {
      const at::Tensor normed = norm(x_btd, weights[next++]);
      const at::Tensor qkv = at::linear(normed, weights[next++]);
      x_btd = x_btd + at::linear(attention(qkv), weights[next++]);
      const at::Tensor inner = norm(x_btd, weights[next++]);
      const auto gate_up = at::linear(inner, weights[next++]).chunk(2, -1);
      x_btd = x_btd + at::linear(at::silu(gate_up[0]) * gate_up[1], weights[next++]);
    }
    const at::Tensor logits = at::linear(norm(x_btd, weights[next++]), table);
    return at::cross_entropy_loss(logits.view({-1, shape_.vocabulary}).to(at::kFloat),
                                  targets_bt.view({-1}));
  }

  void update() {
    std::vector<at::Tensor> held, gradients;
    for (at::Tensor& weight : weights) {
      held.push_back(weight.detach());
      gradients.push_back(weight.grad());
    }
    for (at::Tensor& step : steps_) step.add_(1);
    at::_fused_adamw_(held, gradients, first_moments_, second_moments_, {}, steps_, /*lr=*/1e-3,
                      0.9, 0.95, 0.1, 1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }
  void clear_gradients() {
    for (at::Tensor& weight : weights) weight.mutable_grad().reset();
  }

  std::vector<at::Tensor> weights;

 private:
  // Drawn on the host from one seed, so that every device starts alike.
  void add(at::IntArrayRef sizes) {
    const at::Tensor drawn =
        sizes.size() == 1 ? at::randn(sizes) * 0.1 + 1 : at::randn(sizes) * 0.05;
    weights.push_back(drawn.to(device_).requires_grad_());
  }

  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) {
    return x * at::rsqrt(x.pow(2).mean(-1, true) + 1e-5) * weight;
  }
  at::Tensor rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
    const auto halves = x.chunk(2, -1);
    return at::cat({halves[0] * cosine - halves[1] * sine, halves[1] * cosine + halves[0] * sine},
                   -1);
  }
  at::Tensor attention(const at::Tensor& qkv) {
    const int64_t b = qkv.size(0), t = qkv.size(1), head = shape_.width / shape_.num_heads;
    const at::TensorOptions options = qkv.options();
    const at::Tensor angles =
        at::outer(at::arange(t, options), at::arange(head / 2, options) * -0.1);
    const at::Tensor cosine = angles.cos(), sine = angles.sin();
    const int64_t q = shape_.num_heads * head, kv = shape_.num_kv_heads * head;
    const auto heads = [&](int64_t start, int64_t width) {
      return qkv.narrow(-1, start, width).view({b, t, -1, head}).transpose(1, 2);
    };
    const at::Tensor y = at::scaled_dot_product_attention(
        rotate(heads(0, q), cosine, sine), rotate(heads(q, kv), cosine, sine), heads(q + kv, kv),
        {}, 0.0, /*is_causal=*/true, {}, /*enable_gqa=*/true);
    return y.transpose(1, 2).reshape({b, t, q});
  }

  const Shape shape_;
  const at::Device device_;
  std::vector<at::Tensor> first_moments_, second_moments_, steps_;
};

class ToyStepTest : public ToyTest {
 protected:
  static constexpr Shape kSmall{2, 64, 4, 2, 176, 300, 2, 32};
  static constexpr Shape kDemo{4, 128, 4, 2, 352, 4096, 4, 128};

  static Decoder decoder(const Shape& shape, at::Device device) {
    at::manual_seed(11);
    return Decoder(shape, device);
  }
  static double seconds_of(const std::function<void()>& step) {
    const auto start = std::chrono::steady_clock::now();
    step();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

TEST_F(ToyStepTest, LossGradientsAndWeightsEqualTheCpu) {
  Decoder host = decoder(kSmall, at::kCPU);
  Decoder toy = decoder(kSmall, at::Device(at::kPrivateUse1, 1));
  for (int step = 0; step < 3; ++step) {
    const at::Tensor tokens =
        at::randint(kSmall.vocabulary, {kSmall.batch, kSmall.length + 1}, at::kLong);
    const at::Tensor inputs = tokens.narrow(1, 0, kSmall.length);
    const at::Tensor targets = tokens.narrow(1, 1, kSmall.length).contiguous();
    const at::Tensor loss = host.loss(inputs, targets);
    const at::Tensor toy_loss = toy.loss(on_toy(inputs, 1), on_toy(targets, 1));
    EXPECT_LE(difference(toy_loss, loss), 2e-6) << "step " << step;
    host.clear_gradients();
    toy.clear_gradients();
    loss.backward();
    toy_loss.backward();
    for (size_t i = 0; i < host.weights.size(); ++i) {
      EXPECT_LE(difference(toy.weights[i].grad(), host.weights[i].grad()), 1e-5)
          << "gradient " << i << " of step " << step;
    }
    host.update();
    toy.update();
    for (size_t i = 0; i < host.weights.size(); ++i) {
      // Adam divides a gradient by its own size: of those near zero only noise is left.
      EXPECT_LE(difference(toy.weights[i], host.weights[i]), 1e-4) << "weight " << i;
    }
  }
}

TEST_F(ToyStepTest, OwnKernelsDoMostOfAStep) {
  Decoder toy = decoder(kDemo, at::Device(at::kPrivateUse1, 0));
  Decoder host = decoder(kDemo, at::kCPU);
  const at::Tensor tokens = at::randint(kDemo.vocabulary, {kDemo.batch, kDemo.length}, at::kLong);
  const at::Tensor toy_tokens = on_toy(tokens);
  const auto step = [](Decoder& decoder, const at::Tensor& tokens) {
    decoder.clear_gradients();
    decoder.loss(tokens, tokens).backward();
    decoder.update();
  };
  step(host, tokens);
  step(toy, toy_tokens);
  reset_stats();
  double host_seconds = 1e9, toy_seconds = 1e9;
  OpProfile profile;
  for (int i = 0; i < 5; ++i) {
    host_seconds = std::min(host_seconds, seconds_of([&] { step(host, tokens); }));
    OpProfiler profiler;
    toy_seconds = std::min(toy_seconds, seconds_of([&] { step(toy, toy_tokens); }));
    profile = profiler.stop();
  }
  const Json counted = stats();
  RecordProperty("fallback_share", std::to_string(counted["fallback_share"].get<double>()));
  RecordProperty("toy_over_cpu", std::to_string(toy_seconds / host_seconds));
  std::cout << "toy: " << toy_seconds << " s a step, cpu " << host_seconds << " s; own kernels "
            << counted["own"]["seconds"] << " s, host library " << counted["library"]["seconds"]
            << " s, fallback share " << counted["fallback_share"]
            << " (profiler: " << profile.fallback_share() << ")\n";
  for (size_t i = 0; i < std::min<size_t>(counted["ops"].size(), 12); ++i) {
    std::cout << "  " << counted["ops"][i].dump() << "\n";
  }
  EXPECT_LT(counted["fallback_share"].get<double>(), 0.30);
  EXPECT_GT(counted["own"]["seconds"].get<double>(), counted["library"]["seconds"].get<double>());
  EXPECT_LT(profile.fallback_share(), 0.30);
  EXPECT_GT(profile.rows.size(), 20u);
}

}  // namespace
}  // namespace skarv
