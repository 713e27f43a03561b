// How the linear layers of one microbatch deliver their weight gradients: added to the fp32
// gradients at once, or queued as (x, dy) until flush(), which is the second half of a zero-bubble
// backward. Either way the same products are added in the same order.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <mutex>
#include <vector>

namespace skarv {

// A weight as a layer uses it: the value in compute precision and the fp32 gradient that it adds
// to.
struct Weight {
  at::Tensor value;
  at::Tensor gradient;
};

// Thread-safe: on accelerators the backward pass runs in threads of the autograd engine.
class WeightGradients : public torch::CustomClassHolder {
 public:
  void set_deferred(bool deferred);
  // gradient += dy^T x, now or at flush(). Holds on to both tensors until then.
  void add_product(const at::Tensor& dy_mn, const at::Tensor& x_mk, const at::Tensor& gradient_nk);
  void flush();

 private:
  struct Product {
    at::Tensor dy_mn, x_mk, gradient_nk;
  };
  std::mutex mutex_;
  bool deferred_ = false;
  std::vector<Product> queue_;
};

using WeightGradientsPtr = c10::intrusive_ptr<WeightGradients>;

}  // namespace skarv
