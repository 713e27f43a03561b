// Making tensors, viewing them, and copying between them and the host.
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <ATen/record_function.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "alias.h"
#include "context.h"
#include "memory.h"
#include "stats.h"

namespace toy {
namespace {

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

// Allocation goes to the current device: make the wanted one current.
c10::OptionalDeviceGuard on(std::optional<c10::Device> device) {
  return c10::OptionalDeviceGuard(device);
}

at::ScalarType type_or_default(std::optional<at::ScalarType> type) {
  return type.value_or(c10::get_default_dtype_as_scalartype());
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type,
                 std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const auto guard = on(device);
  return at::detail::empty_generic(sizes, &allocator(), kKeys, type_or_default(type), format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides,
                         std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device> device, std::optional<bool>) {
  const auto guard = on(device);
  return at::detail::empty_strided_generic(sizes, strides, &allocator(), kKeys,
                                           type_or_default(type));
}

void reserve(const at::Tensor& tensor, size_t num_bytes) {
  if (num_bytes <= tensor.storage().nbytes()) return;
  at::detail::getPrivateUse1Hooks().resizePrivateUse1Bytes(tensor.storage(), num_bytes);
}

const at::Tensor& resize(const at::Tensor& self, at::IntArrayRef sizes,
                         std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!format || *format == at::MemoryFormat::Contiguous,
              "toy: tensors are resized to dense row-major ones only");
  if (self.sizes() == sizes) return self;
  self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  reserve(self, static_cast<size_t>(self.storage_offset() + self.numel()) * self.element_size());
  return self;
}

at::Tensor& set_storage(at::Tensor& self, c10::Storage source, int64_t offset,
                        at::IntArrayRef sizes, at::IntArrayRef strides) {
  c10::TensorImpl& impl = *self.unsafeGetTensorImpl();
  impl.set_storage_keep_dtype(std::move(source));
  if (strides.empty() && !sizes.empty()) {
    impl.set_sizes_contiguous(sizes);
    impl.set_storage_offset(offset);
  } else {
    impl.set_sizes_and_strides(sizes, strides, offset);
  }
  reserve(self, at::detail::computeStorageNbytes(self.sizes(), self.strides(), self.element_size(),
                                                 static_cast<size_t>(offset)));
  return self;
}

at::Tensor& set_whole_storage(at::Tensor& self, c10::Storage source) {
  const auto num_elements = static_cast<int64_t>(source.nbytes() / self.element_size());
  return set_storage(self, std::move(source), 0, {num_elements}, {});
}

// Between the toy and the host, either way, and within the toy, also across its devices.
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& destination, bool) {
  static OpCounter& counter = counter_of("aten::_copy_from", Way::kLibrary);
  const Counted counted(counter);
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::DisableRecordFunctionGuard unrecorded;
  alias(destination).copy_(alias(self));
  return destination;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& destination) {
  destination.resize_(self.sizes());
  return copy_from(self, destination, false);
}

at::Scalar local_scalar(const at::Tensor& self) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::DisableRecordFunctionGuard unrecorded;
  return at::_local_scalar_dense(alias(self));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
  // A view is the same storage seen with other sizes and strides: libtorch's own code does it.
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("unfold", &at::native::unfold);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

}  // namespace
}  // namespace toy
