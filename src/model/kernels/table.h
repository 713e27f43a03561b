// Own fused CPU kernels as a table of functions per instruction set. Free of torch. Each works on a
// range that the caller gives it, on one thread; callers split the work. Matrices are row-major and
// dense unless a stride is given; pointers need the alignment of their elements only. Activations
// and weights are fp32 or bf16, computing and statistics fp32.
//
// Each instruction set is one file that includes the same bodies and is compiled with its own
// options (options.cmake). Bodies use no library headers with inline functions: the linker could
// otherwise keep a copy compiled for instructions that the machine lacks.
#pragma once

#include <stdint.h>

namespace skarv::kernels {

// A bf16 number as it lies in memory.
struct Bf16 {
  uint16_t bits;
};

// One tensor [b, h, t, d] with dense d.
template <typename T>
struct Heads {
  T* data;
  int64_t num_heads;
  int64_t batch_stride, head_stride, token_stride;
};

// Packed projections [b, t, q heads + k heads + v heads, d], and the range of b * t to work on.
struct RopeShape {
  int64_t num_tokens;  // t
  int64_t head_dim;
  int64_t begin, end;
};

// T: of activations and weights.
template <typename T>
struct LayerKernels {
  // sum = residual + delta (delta null: residual is the sum and `sum` is not written),
  // inverse = 1 / sqrt(mean(sum^2) + epsilon), normed = weight * sum * inverse.
  void (*norm_forward)(const T* residual, const T* delta, const T* weight, float epsilon,
                       int64_t rows, int64_t c, T* sum, T* normed, float* inverse);
  // dx = gradient through the norm, + d_sum unless null. d_weight[c] grows by the rows' part.
  void (*norm_backward)(const T* d_normed, const T* d_sum, const T* sum, const float* inverse,
                        const T* weight, int64_t rows, int64_t c, T* dx, float* d_weight);

  // Turns q and k by their positions and unpacks; cosine and sine are [t, d/2].
  void (*rope_forward)(const T* packed, const float* cosine, const float* sine,
                       const RopeShape& shape, const Heads<T>& q, const Heads<T>& k,
                       const Heads<T>& v);
  // The inverse turn of the gradients, packed.
  void (*rope_backward)(const Heads<T>& dq, const Heads<T>& dk, const Heads<T>& dv,
                        const float* cosine, const float* sine, const RopeShape& shape,
                        T* d_packed);

  // gate_up rows are [gate, up] of f each; out = gate / (1 + exp(-gate)) * up.
  void (*swiglu_forward)(const T* gate_up, int64_t rows, int64_t f, T* out);
  void (*swiglu_backward)(const T* d_out, const T* gate_up, int64_t rows, int64_t f, T* d_gate_up);
};

struct Table {
  const char* name;
  LayerKernels<float> fp32;
  LayerKernels<Bf16> bf16;

  // Adds up -log softmax(row)[target]; targets lie within [0, v). With scale != 0 each row becomes
  // the gradient of scale * loss, else it is left undefined.
  double (*cross_entropy)(float* logits, const int64_t* targets, int64_t rows, int64_t v,
                          float scale);

  // table[ids[i]] += rows[i], columns [begin, end) of c, in the order of i.
  void (*scatter_add)(const float* rows, const int64_t* ids, int64_t num_rows, int64_t c,
                      int64_t begin, int64_t end, float* table);
};

}  // namespace skarv::kernels
