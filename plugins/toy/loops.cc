#include "loops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "clones.h"

namespace toy {
namespace {

// Relative error below 2e-7 where the result is a normal number, 0 below. x = n ln 2 + r with r in
// [-ln 2 / 2, ln 2 / 2], e^r by its Taylor series, 2^n by the bits of a float. Vectorizes.
inline float exponential(float x) {
  constexpr float kLog2E = 1.44269504089f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const float clamped = std::min(std::max(x, -87.0f), 88.0f);
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
  constexpr float kRound = 12582912.0f;
  const float n = (clamped * kLog2E + kRound) - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  const float value = series * power;
  // The clamps above lose these; a NaN has to stay one.
  return x < -87.0f  ? 0.0f
         : x > 88.0f ? std::numeric_limits<float>::infinity()
         : x == x    ? value
                     : x;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// Sums and maxima in 16 lanes, so that they vectorize without reordering what is written.
constexpr int64_t kLanes = 16;

template <typename Term>
inline float sum(int64_t width, Term term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  float total = 0;
  for (; i < width; ++i) total += term(i);
  for (const float lane : lanes) total += lane;
  return total;
}

inline float maximum(const float* x, int64_t width) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = std::max(lanes[lane], x[i + lane]);
  }
  float largest = lanes[0];
  for (; i < width; ++i) largest = std::max(largest, x[i]);
  for (const float lane : lanes) largest = std::max(largest, lane);
  return largest;
}

}  // namespace

TOY_LOOP void silu(const float* x, float* out, int64_t num_elements) {
  for (int64_t i = 0; i < num_elements; ++i) out[i] = x[i] * sigmoid(x[i]);
}

TOY_LOOP void silu_backward(const float* dy, const float* x, float* dx, int64_t num_elements) {
  for (int64_t i = 0; i < num_elements; ++i) {
    const float s = sigmoid(x[i]);
    dx[i] = dy[i] * s * (1.0f + x[i] * (1.0f - s));
  }
}

TOY_LOOP void softmax(const float* x, float* y, int64_t num_rows, int64_t width) {
  for (int64_t row = 0; row < num_rows; ++row, x += width, y += width) {
    const float largest = maximum(x, width);
    for (int64_t i = 0; i < width; ++i) y[i] = exponential(x[i] - largest);
    const float inverse = 1.0f / sum(width, [y](int64_t i) { return y[i]; });
    for (int64_t i = 0; i < width; ++i) y[i] *= inverse;
  }
}

TOY_LOOP void softmax_backward(const float* dy, const float* y, float* dx, int64_t num_rows,
                               int64_t width) {
  for (int64_t row = 0; row < num_rows; ++row, dy += width, y += width, dx += width) {
    const float dot = sum(width, [dy, y](int64_t i) { return dy[i] * y[i]; });
    for (int64_t i = 0; i < width; ++i) dx[i] = y[i] * (dy[i] - dot);
  }
}

TOY_LOOP void log_softmax(const float* x, float* y, int64_t num_rows, int64_t width) {
  for (int64_t row = 0; row < num_rows; ++row, x += width, y += width) {
    const float largest = maximum(x, width);
    const float total = sum(width, [x, largest](int64_t i) { return exponential(x[i] - largest); });
    const float shift = largest + std::log(total);
    for (int64_t i = 0; i < width; ++i) y[i] = x[i] - shift;
  }
}

TOY_LOOP void log_softmax_backward(const float* dy, const float* y, float* dx, int64_t num_rows,
                                   int64_t width) {
  for (int64_t row = 0; row < num_rows; ++row, dy += width, y += width, dx += width) {
    const float total = sum(width, [dy](int64_t i) { return dy[i]; });
    for (int64_t i = 0; i < width; ++i) dx[i] = dy[i] - exponential(y[i]) * total;
  }
}

TOY_LOOP void adamw(float* weight, const float* gradient, float* first_moment, float* second_moment,
                    int64_t num_elements, const AdamW& settings) {
  const auto beta1 = static_cast<float>(settings.beta1), beta2 = static_cast<float>(settings.beta2);
  const auto keep = static_cast<float>(1 - settings.learning_rate * settings.weight_decay);
  const auto step_size =
      static_cast<float>(settings.learning_rate / (1 - std::pow(settings.beta1, settings.step)));
  const auto second_scale =
      static_cast<float>(1 / std::sqrt(1 - std::pow(settings.beta2, settings.step)));
  const auto epsilon = static_cast<float>(settings.epsilon);
  const float sign = settings.maximize ? -1.0f : 1.0f;
  const auto rest1 = static_cast<float>(1 - settings.beta1);
  const auto rest2 = static_cast<float>(1 - settings.beta2);
  for (int64_t i = 0; i < num_elements; ++i) {
    const float g = sign * gradient[i];
    const float m = beta1 * first_moment[i] + rest1 * g;
    const float v = beta2 * second_moment[i] + rest2 * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    weight[i] = weight[i] * keep - step_size * m / (std::sqrt(v) * second_scale + epsilon);
  }
}

}  // namespace toy
