// Every kernel, compiled for the instruction set of the including file, as one table.
#pragma once

#include "model/kernels/cross_entropy_body.h"
#include "model/kernels/norm_body.h"
#include "model/kernels/rope_body.h"
#include "model/kernels/scatter_body.h"
#include "model/kernels/swiglu_body.h"
#include "model/kernels/table.h"

namespace {

constexpr skarv::kernels::Table table_named(const char* name) {
  return {.name = name,
          .norm_forward = norm_forward,
          .norm_backward = norm_backward,
          .rope_forward = rope_forward,
          .rope_backward = rope_backward,
          .swiglu_forward = swiglu_forward,
          .swiglu_backward = swiglu_backward,
          .cross_entropy = cross_entropy,
          .scatter_add = scatter_add};
}

}  // namespace
