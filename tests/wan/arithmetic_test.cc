#include "wan/arithmetic.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace skarv {

namespace arithmetic_plain {
Digest self_test();
}
namespace arithmetic_native {
Digest self_test();
}

namespace arithmetic {
namespace {

std::vector<float> normals(const char* name, size_t size) {
  const CounterRandom random(7, name);
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = random.normal(i);
  return values;
}

TEST(Arithmetic, GoldenDigest) {
  const Status status = check_self_test();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Arithmetic, OptimisationChangesNothing) {
  EXPECT_EQ(arithmetic_plain::self_test().hex(), self_test().hex());
  EXPECT_EQ(arithmetic_native::self_test().hex(), self_test().hex());
}

// By hand, in powers of two, so that every step is exact: m' = 0.5 * 4 + 1 = 3,
// w' = 10 - 0.25 * (1 + 0.5 * 3) = 9.375.
TEST(Arithmetic, NesterovByHand) {
  const std::vector<float> w{10}, m{4}, delta{1};
  std::vector<float> w_new(1), m_new(1);
  nesterov_step({bits_of(0.25f), bits_of(0.5f)}, w, m, delta, w_new, m_new);
  EXPECT_EQ(m_new[0], 3.0f);
  EXPECT_EQ(w_new[0], 9.375f);
}

// One island, outer rate 1, no momentum: the outer weights become the island's weights, as long as
// w - (w - s) is exact (Sterbenz: s within a factor of two of w).
TEST(Arithmetic, RateOneWithoutMomentumIsPlainTraining) {
  std::vector<float> w = normals("w", 1000), s(w.size()), delta(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    s[i] = w[i] * 0.75f;
    delta[i] = w[i] - s[i];
  }
  const std::vector<float> m(w.size(), 0.0f);
  std::vector<float> w_new(w.size()), m_new(w.size());
  nesterov_step({bits_of(1.0f), bits_of(0.0f)}, w, m, delta, w_new, m_new);
  EXPECT_EQ(w_new, s);
}

TEST(Arithmetic, InPlaceGivesTheSame) {
  std::vector<float> w = normals("w", 1001), m = normals("m", 1001);
  const std::vector<float> delta = normals("delta", 1001);
  std::vector<float> w_new(1001), m_new(1001);
  const NesterovScalars scalars{bits_of(0.6f), bits_of(0.9f)};
  nesterov_step(scalars, w, m, delta, w_new, m_new);
  nesterov_step(scalars, w, m, delta, w, m);
  EXPECT_EQ(w, w_new);
  EXPECT_EQ(m, m_new);
}

// Against the textbook form in double.
TEST(Arithmetic, AdamAgreesWithDouble) {
  const size_t size = 500;
  std::vector<float> w = normals("w", size), m = normals("m", size), v = normals("v", size);
  const std::vector<float> gradient = normals("g", size);
  for (float& value : v) value = value * value;
  const double rate = 1e-2, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, decay = 0.1, clip = 0.5;
  const double correction1 = 1 - std::pow(beta1, 3), correction2 = 1 - std::pow(beta2, 3);
  const auto bits = [](double value) { return bits_of(static_cast<float>(value)); };
  const AdamScalars scalars{
      bits(rate),    bits(beta1), bits(1 - beta1), bits(beta2),       bits(1 - beta2),
      bits(epsilon), bits(decay), bits(clip),      bits(correction1), bits(std::sqrt(correction2))};
  std::vector<float> w_new(size), m_new(size), v_new(size), w_still(size);
  adam_step(scalars, true, {w, m, v}, gradient, {w_new, m_new, v_new});
  adam_step(scalars, false, {w, m, v}, gradient, {w_still, m_new, v_new});
  for (size_t i = 0; i < size; ++i) {
    const double g = clip * gradient[i];
    const double first = beta1 * m[i] + (1 - beta1) * g;
    const double second = beta2 * v[i] + (1 - beta2) * g * g;
    const double step = rate * (first / correction1) / (std::sqrt(second / correction2) + epsilon);
    EXPECT_NEAR(m_new[i], first, 1e-6);
    EXPECT_NEAR(v_new[i], second, 1e-6);
    EXPECT_NEAR(w_new[i], w[i] * (1 - rate * decay) - step, 2e-6);
    EXPECT_NEAR(w_still[i], w[i] - step, 2e-6);
  }
}

TEST(Arithmetic, SubnormalResultsSurviveFlushToZero) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "sets MXCSR by hand";
#else
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 1u << 15 | 1u << 6);  // what a library linked with fast-math does
  const std::vector<float> w{0x1p-130f}, m{0}, delta{0};
  std::vector<float> w_new(1), m_new(1);
  nesterov_step({bits_of(1.0f), bits_of(0.0f)}, w, m, delta, w_new, m_new);
  const unsigned bits = bits_of(w_new[0]);
  const Status status = check_self_test();
  const unsigned left = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(bits, bits_of(0x1p-130f));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(left & (1u << 15 | 1u << 6), 1u << 15 | 1u << 6) << "the caller's mode is restored";
#endif
}

TEST(Arithmetic, RoundingModeIsSetAndRestored) {
  const int before = std::fegetround();
  std::fesetround(FE_UPWARD);
  const Status status = check_self_test();
  const int left = std::fegetround();
  std::fesetround(before);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(left, FE_UPWARD);
}

TEST(Arithmetic, AllFinite) {
  std::vector<float> values(1000, 1.0f);
  EXPECT_TRUE(all_finite(values));
  EXPECT_TRUE(all_finite({}));
  values[3] = std::numeric_limits<float>::max();
  values[4] = std::numeric_limits<float>::denorm_min();
  EXPECT_TRUE(all_finite(values));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::infinity(), float_of(0xFF800001)}) {
    values[999] = bad;
    EXPECT_FALSE(all_finite(values));
  }
}

}  // namespace
}  // namespace arithmetic
}  // namespace skarv
