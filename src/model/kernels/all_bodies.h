// Every kernel, compiled for the instruction set of the including file, as one table.
#pragma once

#include "model/kernels/cross_entropy_body.h"
#include "model/kernels/norm_body.h"
#include "model/kernels/rope_body.h"
#include "model/kernels/scatter_body.h"
#include "model/kernels/swiglu_body.h"
#include "model/kernels/table.h"

namespace {

template <typename T>
constexpr skarv::kernels::LayerKernels<T> layer_kernels() {
  return {.norm_forward = norm_forward<T>,
          .norm_backward = norm_backward<T>,
          .rope_forward = rope_forward<T>,
          .rope_backward = rope_backward<T>,
          .swiglu_forward = swiglu_forward<T>,
          .swiglu_backward = swiglu_backward<T>};
}

constexpr skarv::kernels::Table table_named(const char* name) {
  return {.name = name,
          .fp32 = layer_kernels<float>(),
          .bf16 = layer_kernels<Bf16>(),
          .cross_entropy = cross_entropy,
          .scatter_add = scatter_add};
}

}  // namespace
