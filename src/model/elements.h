// A tensor's elements for the fused kernels, which know fp32 and bf16.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/kernels/table.h"

namespace skarv {

// Calls work with a number of the kernels' type: work(T{}).
template <typename Work>
auto with_elements_of(const at::Tensor& x, const Work& work) {
  return x.scalar_type() == c10::ScalarType::BFloat16 ? work(kernels::Bf16{}) : work(float{});
}

template <typename T>
const T* elements(const at::Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <typename T>
T* mutable_elements(const at::Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

}  // namespace skarv
