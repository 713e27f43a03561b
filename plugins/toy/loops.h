// The arithmetic of the toy's own kernels: fp32, dense rows, host pointers, no libtorch. They round
// in their own way (own exponential, other order of sums), as another maker's chip would.
#pragma once

#include <cstdint>

namespace toy {

// out = x * sigmoid(x), and its gradient.
void silu(const float* x, float* out, int64_t num_elements);
void silu_backward(const float* dy, const float* x, float* dx, int64_t num_elements);

// Over each row of `width` elements. dx = y * (dy - sum(dy * y)) and dx = dy - exp(y) * sum(dy).
void softmax(const float* x, float* y, int64_t num_rows, int64_t width);
void softmax_backward(const float* dy, const float* y, float* dx, int64_t num_rows, int64_t width);
void log_softmax(const float* x, float* y, int64_t num_rows, int64_t width);
void log_softmax_backward(const float* dy, const float* y, float* dx, int64_t num_rows,
                          int64_t width);

struct AdamW {
  double learning_rate, beta1, beta2, weight_decay, epsilon;
  double step;  // counted from 1
  bool maximize;
};
// Loshchilov and Hutter, "Decoupled weight decay regularization", in one pass.
void adamw(float* weight, const float* gradient, float* first_moment, float* second_moment,
           int64_t num_elements, const AdamW& settings);

}  // namespace toy
