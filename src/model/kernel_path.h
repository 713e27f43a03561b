// Which implementation of an operation runs: own fused CPU kernels (fp32 on the CPU), or ATen
// operations, which every device has. Both compute the same function within float rounding.
#pragma once

#include <ATen/core/Tensor.h>

namespace skarv {

enum class KernelPath { kFused, kComposite };

inline KernelPath kernel_path_of(const at::Tensor& activation) {
  const bool fused = activation.is_cpu() && activation.scalar_type() == c10::ScalarType::Float;
  return fused ? KernelPath::kFused : KernelPath::kComposite;
}

}  // namespace skarv
