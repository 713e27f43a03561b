// Own fused CPU kernels, fp32, as a table of functions per instruction set. Free of torch. Each
// works on a range that the caller gives it, on one thread; callers split the work. Matrices are
// row-major and dense unless a stride is given; pointers need the alignment of float only.
//
// Each instruction set is one file that includes the same bodies and is compiled with its own
// options (options.cmake). Bodies use no library headers with inline functions: the linker could
// otherwise keep a copy compiled for instructions that the machine lacks.
#pragma once

#include <stdint.h>

namespace skarv::kernels {

// One tensor [b, h, t, d] with dense d.
struct Heads {
  float* data;
  int64_t num_heads;
  int64_t batch_stride, head_stride, token_stride;
};

// Packed projections [b, t, q heads + k heads + v heads, d], and the range of b * t to work on.
struct RopeShape {
  int64_t num_tokens;  // t
  int64_t head_dim;
  int64_t begin, end;
};

struct Table {
  const char* name;

  // sum = residual + delta (delta null: residual is the sum and `sum` is not written),
  // inverse = 1 / sqrt(mean(sum^2) + epsilon), normed = weight * sum * inverse.
  void (*norm_forward)(const float* residual, const float* delta, const float* weight,
                       float epsilon, int64_t rows, int64_t c, float* sum, float* normed,
                       float* inverse);
  // dx = gradient through the norm, + d_sum unless null. d_weight[c] grows by the rows' part.
  void (*norm_backward)(const float* d_normed, const float* d_sum, const float* sum,
                        const float* inverse, const float* weight, int64_t rows, int64_t c,
                        float* dx, float* d_weight);

  // Turns q and k by their positions and unpacks; cosine and sine are [t, d/2].
  void (*rope_forward)(const float* packed, const float* cosine, const float* sine,
                       const RopeShape& shape, const Heads& q, const Heads& k, const Heads& v);
  // The inverse turn of the gradients, packed.
  void (*rope_backward)(const Heads& dq, const Heads& dk, const Heads& dv, const float* cosine,
                        const float* sine, const RopeShape& shape, float* d_packed);

  // gate_up rows are [gate, up] of f each; out = gate / (1 + exp(-gate)) * up.
  void (*swiglu_forward)(const float* gate_up, int64_t rows, int64_t f, float* out);
  void (*swiglu_backward)(const float* d_out, const float* gate_up, int64_t rows, int64_t f,
                          float* d_gate_up);

  // Adds up -log softmax(row)[target]; targets lie within [0, v). With scale != 0 each row becomes
  // the gradient of scale * loss, else it is left undefined.
  double (*cross_entropy)(float* logits, const int64_t* targets, int64_t rows, int64_t v,
                          float scale);

  // table[ids[i]] += rows[i], columns [begin, end) of c, in the order of i.
  void (*scatter_add)(const float* rows, const int64_t* ids, int64_t num_rows, int64_t c,
                      int64_t begin, int64_t end, float* table);
};

}  // namespace skarv::kernels
