// Cosines and sines of rotary positions (Su et al., 2104.09864) in Hugging Face's rotate-half
// convention: pair i of a head is (x[i], x[i + d/2]), turned by position * theta^(-2i/d). Angles
// are formed in fp32 as transformers does, so that its checkpoints mean the same at long contexts.
#pragma once

#include <ATen/core/Tensor.h>

namespace skarv {

struct RopeTable {
  at::Tensor cos_th, sin_th;  // fp32 [t, d/2]

  RopeTable(int64_t num_positions, int64_t head_dim, double theta, c10::Device device);
  int64_t num_positions() const { return cos_th.size(0); }
};

}  // namespace skarv
