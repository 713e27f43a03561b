#include "model/weight_gradients.h"

#include <utility>

#include "model/matrix.h"

namespace skarv {

void WeightGradients::set_deferred(bool deferred) {
  const std::lock_guard lock(mutex_);
  deferred_ = deferred;
}

void WeightGradients::add_product(const at::Tensor& dy_mn, const at::Tensor& x_mk,
                                  const at::Tensor& gradient_nk) {
  {
    const std::lock_guard lock(mutex_);
    if (deferred_) {
      // Detached, so that the queue does not keep the graph behind the activation alive.
      queue_.push_back({dy_mn.detach(), x_mk.detach(), gradient_nk});
      return;
    }
  }
  linear_backward_weight(dy_mn, x_mk, gradient_nk);
}

void WeightGradients::flush() {
  std::vector<Product> products;
  {
    const std::lock_guard lock(mutex_);
    products.swap(queue_);
  }
  for (Product& product : products) {
    linear_backward_weight(product.dy_mn, product.x_mk, product.gradient_nk);
    product = {};  // frees the activation before the next product needs memory
  }
}

}  // namespace skarv
