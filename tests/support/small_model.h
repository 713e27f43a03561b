// A model of a few thousand parameters, for tests that need slabs and no training.
#pragma once

#include "spec/model.h"

namespace skarv {

inline Model small_model() {
  return {.vocabulary = 64,
          .hidden = 16,
          .num_blocks = 2,
          .num_heads = 2,
          .num_kv_heads = 1,
          .head_dim = 8,
          .ffn = 32,
          .context = 16};
}

}  // namespace skarv
