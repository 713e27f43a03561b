// Which implementation of an operation runs: own fused kernels on the CPU, or ATen operations,
// which every device has. Both compute the same function within the rounding of the activations.
#pragma once

#include <ATen/core/Tensor.h>

namespace skarv {

enum class KernelPath { kFused, kComposite };

inline KernelPath kernel_path_of(const at::Tensor& activation) {
  const c10::ScalarType type = activation.scalar_type();
  const bool fused =
      activation.is_cpu() && (type == c10::ScalarType::Float || type == c10::ScalarType::BFloat16);
  return fused ? KernelPath::kFused : KernelPath::kComposite;
}

}  // namespace skarv
