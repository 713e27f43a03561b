// The arithmetic that every site must reproduce bit for bit (protocol.md, 8): the outer step. Its
// one source file is compiled without contraction and fast-math; it uses + - * / sqrt on floats and
// integers, element by element, no reductions. Scalars arrive as bit patterns, computed once by the
// coordinator. Any number of threads; no state. It does not judge its input: callers refuse values
// that are not finite first (all_finite).
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "base/digest.h"
#include "base/status.h"

namespace skarv::arithmetic {

// Part of the handshake; raised whenever any result may change.
inline constexpr uint32_t kVersion = 1;

// A float as it stands in records and messages.
using Bits = uint32_t;
inline Bits bits_of(float value) { return std::bit_cast<Bits>(value); }
inline float float_of(Bits bits) { return std::bit_cast<float>(bits); }

// While it lives, this thread rounds to nearest and keeps subnormal numbers; a library linked with
// fast-math may have changed both for the whole process. Restores on destruction. Every function
// below that computes takes one itself.
class FloatEnvironment {
 public:
  FloatEnvironment();
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  uint64_t saved_;
};

// SGD with Nesterov momentum as torch.optim.SGD defines it; delta = w_base - s is the gradient:
//   m' = momentum m + delta;  w' = w - learning_rate (delta + momentum m')
struct NesterovScalars {
  Bits learning_rate = 0, momentum = 0;
  bool operator==(const NesterovScalars&) const = default;
};
// All spans have one size. Outputs may be the inputs themselves, but not overlap them otherwise.
void nesterov_step(const NesterovScalars& scalars, std::span<const float> w,
                   std::span<const float> m, std::span<const float> delta, std::span<float> w_new,
                   std::span<float> m_new);

// AdamW as torch.optim.AdamW defines it, on a merged gradient (exact mode, rule 13):
//   g = clip gradient;  m' = beta1 m + rest1 g;  v' = beta2 v + rest2 g g
//   w' = w - learning_rate weight_decay w - learning_rate (m' / correction1) / (sqrt(v') /
//   root_correction2 + epsilon)
// with rest = 1 - beta, correction1 = 1 - beta1^t, root_correction2 = sqrt(1 - beta2^t).
struct AdamScalars {
  Bits learning_rate = 0, beta1 = 0, rest1 = 0, beta2 = 0, rest2 = 0;
  Bits epsilon = 0, weight_decay = 0, clip = 0, correction1 = 0, root_correction2 = 0;
  bool operator==(const AdamScalars&) const = default;
};
struct AdamState {
  std::span<const float> w, m, v;
};
struct AdamTarget {
  std::span<float> w, m, v;
};
// Tensors that do not decay (norms) get `decays` = false.
void adam_step(const AdamScalars& scalars, bool decays, const AdamState& state,
               std::span<const float> gradient, const AdamTarget& target);

// No infinity, no NaN; by integer comparison.
bool all_finite(std::span<const float> values);

// Digest of both steps over a fixed set of inputs, subnormal and huge ones among them: equal on
// every machine that may take part.
Digest self_test();
// What self_test() has to give. Error: kFailedPrecondition, saying that this build or processor may
// not keep outer state.
Status check_self_test();

}  // namespace skarv::arithmetic
