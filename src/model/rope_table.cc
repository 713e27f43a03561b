#include "model/rope_table.h"

#include <ATen/ops/empty.h>

#include <cmath>

namespace skarv {

RopeTable::RopeTable(int64_t num_positions, int64_t head_dim, double theta, c10::Device device) {
  const int64_t half = head_dim / 2;
  cos_th = at::empty({num_positions, half}, at::TensorOptions().dtype(c10::kFloat));
  sin_th = at::empty({num_positions, half}, at::TensorOptions().dtype(c10::kFloat));
  float* cosine = cos_th.data_ptr<float>();
  float* sine = sin_th.data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float frequency = 1.0f / static_cast<float>(std::pow(theta, exponent));
    for (int64_t t = 0; t < num_positions; ++t) {
      const float angle = static_cast<float>(t) * frequency;
      cosine[t * half + i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sine[t * half + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  cos_th = cos_th.to(device);
  sin_th = sin_th.to(device);
}

}  // namespace skarv
