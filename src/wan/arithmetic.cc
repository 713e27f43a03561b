// Compiled with -ffp-contract=off -fno-fast-math (CMakeLists.txt), and a second and third time with
// other optimisation levels by the tests. Loops live in functions of their own that are not
// inlined, so that nothing is computed before the environment is set.
#include "wan/arithmetic.h"

#include <cmath>
#include <cstddef>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif
#if defined(__FAST_MATH__)
#error "arithmetic.cc must not be compiled with -ffast-math"
#endif

namespace skarv::arithmetic {

namespace {

#if defined(__x86_64__)
// MXCSR: flush to zero (15), subnormals are zero (6), rounding mode (13, 14).
constexpr uint64_t kForbidden = 1u << 15 | 1u << 6 | 3u << 13;
uint64_t read_control() { return _mm_getcsr(); }
void write_control(uint64_t value) { _mm_setcsr(static_cast<unsigned>(value)); }
#elif defined(__aarch64__)
// FPCR: flush to zero (24), of half precision (19), of inputs and alternate handling (0, 1),
// rounding mode (22, 23).
constexpr uint64_t kForbidden = 1ull << 24 | 1ull << 19 | 3ull | 3ull << 22;
uint64_t read_control() {
  uint64_t value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
void write_control(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
#error "the outer arithmetic knows x86-64 and aarch64; add this processor's control register"
#endif

[[gnu::noinline]] void nesterov_loop(const NesterovScalars& scalars, size_t size, const float* w,
                                     const float* m, const float* delta, float* w_new,
                                     float* m_new) {
  const float rate = float_of(scalars.learning_rate);
  const float momentum = float_of(scalars.momentum);
  for (size_t i = 0; i < size; ++i) {
    const float gradient = delta[i];
    const float moment = momentum * m[i] + gradient;
    const float direction = gradient + momentum * moment;
    w_new[i] = w[i] - rate * direction;
    m_new[i] = moment;
  }
}

[[gnu::noinline]] void adam_loop(const AdamScalars& scalars, float decay, size_t size,
                                 const AdamState& state, const float* gradient,
                                 const AdamTarget& target) {
  const float rate = float_of(scalars.learning_rate);
  const float beta1 = float_of(scalars.beta1), rest1 = float_of(scalars.rest1);
  const float beta2 = float_of(scalars.beta2), rest2 = float_of(scalars.rest2);
  const float epsilon = float_of(scalars.epsilon), clip = float_of(scalars.clip);
  const float correction1 = float_of(scalars.correction1);
  const float root_correction2 = float_of(scalars.root_correction2);
  const float *w = state.w.data(), *m = state.m.data(), *v = state.v.data();
  float *w_new = target.w.data(), *m_new = target.m.data(), *v_new = target.v.data();
  for (size_t i = 0; i < size; ++i) {
    const float g = clip * gradient[i];
    const float first = beta1 * m[i] + rest1 * g;
    const float second = beta2 * v[i] + rest2 * (g * g);
    const float step = (first / correction1) / (std::sqrt(second) / root_correction2 + epsilon);
    w_new[i] = (w[i] - decay * w[i]) - rate * step;
    m_new[i] = first;
    v_new[i] = second;
  }
}

[[gnu::noinline]] float product(float a, float b) { return a * b; }

}  // namespace

FloatEnvironment::FloatEnvironment() : saved_(read_control()) {
  if (saved_ & kForbidden) write_control(saved_ & ~kForbidden);
}
FloatEnvironment::~FloatEnvironment() {
  if (saved_ & kForbidden) write_control(saved_);
}

void nesterov_step(const NesterovScalars& scalars, std::span<const float> w,
                   std::span<const float> m, std::span<const float> delta, std::span<float> w_new,
                   std::span<float> m_new) {
  const FloatEnvironment environment;
  nesterov_loop(scalars, w.size(), w.data(), m.data(), delta.data(), w_new.data(), m_new.data());
}

void adam_step(const AdamScalars& scalars, bool decays, const AdamState& state,
               std::span<const float> gradient, const AdamTarget& target) {
  const FloatEnvironment environment;
  const float decay =
      decays ? product(float_of(scalars.learning_rate), float_of(scalars.weight_decay)) : 0.0f;
  adam_loop(scalars, decay, state.w.size(), state, gradient.data(), target);
}

bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7F800000;
  uint32_t found = 0;
  for (const float value : values) {
    found |= static_cast<uint32_t>((bits_of(value) & kExponent) == kExponent);
  }
  return found == 0;
}

namespace {

constexpr size_t kSelfTestSize = 4099;  // no multiple of any vector width
constexpr char kSelfTestDigest[] =
    "6ecf91c105bb315a22fd5fe1ea74d78c604a1189d2973ef2a44e734cab2feed7";

// Bit patterns of finite floats whose exponents run from subnormal to 2^max_exponent.
std::vector<float> test_values(uint64_t seed, uint32_t max_exponent, bool positive) {
  std::vector<float> values(kSelfTestSize);
  for (float& value : values) {
    seed += 0x9E3779B97F4A7C15;  // splitmix64
    uint64_t word = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9;
    word = (word ^ word >> 27) * 0x94D049BB133111EB;
    word ^= word >> 31;
    // Half of them near 1, where sums round; the rest anywhere.
    const uint32_t exponent = word >> 63 ? 120 + (word >> 40) % 8
                                         : static_cast<uint32_t>(word >> 32) % (127 + max_exponent);
    const uint32_t sign = positive ? 0 : static_cast<uint32_t>(word >> 23 & 1) << 31;
    value = float_of(sign | exponent << 23 | static_cast<uint32_t>(word & 0x7FFFFF));
  }
  return values;
}

}  // namespace

Digest self_test() {
  Hasher hasher;
  const std::vector<float> w = test_values(1, 30, false), m = test_values(2, 30, false);
  const std::vector<float> gradient = test_values(3, 30, false), v = test_values(4, 30, true);
  std::vector<float> w_new(kSelfTestSize), m_new(kSelfTestSize), v_new(kSelfTestSize);
  auto add = [&hasher](const std::vector<float>& values) {
    hasher.add(std::as_bytes(std::span(values)));
  };
  for (const float rate : {0.6f, 1.0f, 1e-30f}) {
    nesterov_step({bits_of(rate), bits_of(0.9f)}, w, m, gradient, w_new, m_new);
    add(w_new);
    add(m_new);
  }
  const AdamScalars scalars{.learning_rate = bits_of(1e-3f),
                            .beta1 = bits_of(0.9f),
                            .rest1 = bits_of(0.1f),
                            .beta2 = bits_of(0.95f),
                            .rest2 = bits_of(0.05f),
                            .epsilon = bits_of(1e-8f),
                            .weight_decay = bits_of(0.1f),
                            .clip = bits_of(0.37f),
                            .correction1 = bits_of(0.271f),
                            .root_correction2 = bits_of(0.37767f)};
  for (const bool decays : {false, true}) {
    adam_step(scalars, decays, {w, m, v}, gradient, {w_new, m_new, v_new});
    add(w_new);
    add(m_new);
    add(v_new);
  }
  return hasher.finish();
}

Status check_self_test() {
  const Digest digest = self_test();
  if (digest.hex() == kSelfTestDigest) return Status();
  return Status(Code::kFailedPrecondition, Scope::kSite,
                "the outer arithmetic of this build gives " + digest.short_hex() + " instead of " +
                    std::string(kSelfTestDigest, 12) + ", so its weights would part from others'")
      .with_hint(
          "build src/wan/arithmetic.cc with the flags that CMakeLists.txt sets (no fast-math, no "
          "contraction), with another compiler, or keep outer state on another host");
}

}  // namespace skarv::arithmetic
