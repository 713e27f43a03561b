// Rows of a table by number, and its gradient: what an embedding does.
#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/embedding_dense_backward_ops.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select_ops.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cstring>

#include "host_call.h"
#include "memory.h"

namespace toy {
namespace {

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  const int64_t wrapped = dim < 0 ? dim + self.dim() : dim;
  std::vector<int64_t> sizes = self.sizes().vec();
  if (!sizes.empty()) sizes.at(static_cast<size_t>(wrapped)) = index.numel();
  at::Tensor out = at::empty(sizes, self.options());
  if (wrapped != 0 || !self.is_contiguous() || index.scalar_type() != at::kLong ||
      !index.is_contiguous() || !is_toy(index)) {
    return OnHost<at::_ops::index_select_out>::call(self, dim, index, out);
  }
  const Counted counted(counter_of<at::_ops::index_select, Way::kOwn>());
  CommonDevice device;
  device.add(self, "index_select");
  device.add(index, "index_select");
  if (out.numel() == 0) return out;
  const size_t row_bytes = static_cast<size_t>(self.numel() / self.size(0)) * self.element_size();
  const auto* rows = static_cast<const char*>(to_host(self.const_data_ptr()));
  const auto* numbers = static_cast<const int64_t*>(to_host(index.const_data_ptr()));
  auto* target = static_cast<char*>(to_host(out.const_data_ptr()));
  for (int64_t i = 0; i < index.numel(); ++i, target += row_bytes) {
    TORCH_CHECK_INDEX(numbers[i] >= 0 && numbers[i] < self.size(0), "index_select: row ",
                      numbers[i], " of a table of ", self.size(0));
    std::memcpy(target, rows + static_cast<size_t>(numbers[i]) * row_bytes, row_bytes);
  }
  return out;
}

at::Tensor embedding_dense_backward(const at::Tensor& dy, const at::Tensor& indices,
                                    c10::SymInt num_weights, c10::SymInt padding_index,
                                    bool scale_by_frequency) {
  TORCH_CHECK(!scale_by_frequency, "toy: embedding gradients are not scaled by frequency");
  const int64_t num_rows = num_weights.expect_int(), padding = padding_index.expect_int();
  const int64_t width = dy.size(-1);
  const at::Tensor dense = dy.contiguous(), numbers = indices.to(at::kLong).contiguous();
  at::Tensor table = at::zeros({num_rows, width}, dy.options());
  const Counted counted(counter_of<at::_ops::embedding_dense_backward, Way::kOwn>());
  const auto* number = static_cast<const int64_t*>(to_host(numbers.const_data_ptr()));
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dy.scalar_type(), "toy_embedding", [&] {
    const auto* gradient = static_cast<const scalar_t*>(to_host(dense.const_data_ptr()));
    auto* sums = static_cast<scalar_t*>(to_host(table.const_data_ptr()));
    for (int64_t i = 0; i < numbers.numel(); ++i, gradient += width) {
      if (number[i] == padding) continue;
      TORCH_CHECK_INDEX(number[i] >= 0 && number[i] < num_rows, "embedding gradient: row ",
                        number[i], " of a table of ", num_rows);
      scalar_t* const row = sums + number[i] * width;
      for (int64_t j = 0; j < width; ++j) row[j] += gradient[j];
    }
  });
  return table;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("index_select", &index_select);
  library.impl("embedding_dense_backward", &embedding_dense_backward);
}

}  // namespace
}  // namespace toy
