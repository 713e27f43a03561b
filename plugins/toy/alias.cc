#include "alias.h"

#include <ATen/ops/from_blob.h>

#include "memory.h"

namespace toy {

at::Tensor alias(const at::Tensor& tensor) {
  if (!is_toy(tensor)) return tensor;
  at::Tensor host = at::from_blob(
      to_host(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
      at::TensorOptions().dtype(tensor.dtype()).device(c10::Device(c10::DeviceType::CPU)));
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
    host.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  return host;
}

at::Tensor adopted(const at::Tensor& host, int device) {
  if (!host.defined()) return host;
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      adopt(host.storage(), device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
      host.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides(),
                                                      host.storage_offset());
  return tensor;
}

}  // namespace toy
