#include "model/swiglu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "model/elements.h"
#include "model/kernels/dispatch.h"
#include "model/parallel.h"

namespace skarv {

at::Tensor fused_swiglu(const at::Tensor& gate_up) {
  const at::Tensor in = gate_up.contiguous();
  std::vector<int64_t> sizes = in.sizes().vec();
  const int64_t f = sizes.back() /= 2;
  at::Tensor out = at::empty(sizes, in.options());
  with_elements_of(in, [&]<typename T>(T) {
    const T* from = elements<T>(in);
    T* to = mutable_elements<T>(out);
    for_row_ranges(out.numel() / f, f, [&](int64_t begin, int64_t end) {
      kernels::best_for<T>().swiglu_forward(from + begin * 2 * f, end - begin, f, to + begin * f);
    });
  });
  return out;
}

at::Tensor fused_swiglu_backward(const at::Tensor& d_out, const at::Tensor& gate_up) {
  const at::Tensor dy = d_out.contiguous(), in = gate_up.contiguous();
  at::Tensor d_gate_up = at::empty_like(in);
  const int64_t f = in.size(-1) / 2;
  with_elements_of(in, [&]<typename T>(T) {
    const T *dys = elements<T>(dy), *from = elements<T>(in);
    T* to = mutable_elements<T>(d_gate_up);
    for_row_ranges(dy.numel() / f, f, [&](int64_t begin, int64_t end) {
      kernels::best_for<T>().swiglu_backward(dys + begin * f, from + begin * 2 * f, end - begin, f,
                                             to + begin * 2 * f);
    });
  });
  return d_gate_up;
}

}  // namespace skarv
