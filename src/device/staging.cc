#include "device/staging.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>

#include <string>

#include "device/torch_error.h"

namespace skarv {
namespace {

// The host bytes as a dense CPU tensor of the same shape; owns nothing.
at::Tensor host_view(const std::byte* bytes, const at::Tensor& like) {
  // from_blob has no const form; the callers below write through it only where they may.
  return at::from_blob(const_cast<std::byte*>(bytes), like.sizes(),
                       at::TensorOptions().dtype(like.scalar_type()).device(at::kCPU));
}

Status check_size(const at::Tensor& tensor, size_t num_bytes) {
  const int64_t needed = num_host_bytes(tensor);
  if (static_cast<int64_t>(num_bytes) == needed) return {};
  return Status(Code::kInvalidArgument, Scope::kBug,
                "host copy: the tensor has " + std::to_string(needed) + " bytes, the buffer " +
                    std::to_string(num_bytes));
}

Status to_host(const at::Tensor& tensor, std::span<std::byte> bytes, bool non_blocking) {
  return guarded("copy to the host", [&]() -> Status {
    SKARV_TRY(check_size(tensor, bytes.size()));
    if (bytes.empty()) return {};
    const c10::NoGradGuard no_grad;
    host_view(bytes.data(), tensor).copy_(tensor, non_blocking);
    return {};
  });
}

Status from_host(std::span<const std::byte> bytes, const at::Tensor& tensor, bool non_blocking) {
  return guarded("copy from the host", [&]() -> Status {
    SKARV_TRY(check_size(tensor, bytes.size()));
    if (bytes.empty()) return {};
    const c10::NoGradGuard no_grad;
    tensor.copy_(host_view(bytes.data(), tensor), non_blocking);
    return {};
  });
}

}  // namespace

struct HostBuffer::State {
  c10::DataPtr memory;
  size_t num_bytes = 0;
  bool pinned = false;
};

HostBuffer::HostBuffer(std::unique_ptr<State> state) : state_(std::move(state)) {}
HostBuffer::HostBuffer(HostBuffer&&) noexcept = default;
HostBuffer& HostBuffer::operator=(HostBuffer&&) noexcept = default;
HostBuffer::~HostBuffer() = default;

Result<HostBuffer> HostBuffer::create(const Device& device, int64_t num_bytes) {
  if (num_bytes < 0) return bug("a host buffer of " + std::to_string(num_bytes) + " bytes");
  SKARV_ASSIGN(const DeviceAttributes attributes, device.attributes());
  const std::string what = "host buffer of " + std::to_string(num_bytes) + " bytes";
  return guarded(what, [&]() -> Result<HostBuffer> {
    auto state = std::make_unique<State>();
    state->num_bytes = static_cast<size_t>(num_bytes);
    state->pinned = attributes.has_pinned_host;
    c10::Allocator* allocator =
        state->pinned ? at::globalContext().getPinnedMemoryAllocator(device.torch_device().type())
                      : c10::GetCPUAllocator();
    state->memory = allocator->allocate(state->num_bytes);
    return HostBuffer(std::move(state));
  });
}

std::span<std::byte> HostBuffer::bytes() const {
  return {static_cast<std::byte*>(state_->memory.get()), state_->num_bytes};
}

bool HostBuffer::pinned() const { return state_->pinned; }

int64_t num_host_bytes(const at::Tensor& tensor) {
  return tensor.numel() * static_cast<int64_t>(tensor.element_size());
}

Status copy_to_host(const at::Tensor& tensor, std::span<std::byte> bytes) {
  return to_host(tensor, bytes, /*non_blocking=*/false);
}

Status copy_from_host(std::span<const std::byte> bytes, const at::Tensor& tensor) {
  return from_host(bytes, tensor, /*non_blocking=*/false);
}

Status start_copy_to_host(const at::Tensor& tensor, std::span<std::byte> bytes) {
  return to_host(tensor, bytes, /*non_blocking=*/true);
}

Status start_copy_from_host(std::span<const std::byte> bytes, const at::Tensor& tensor) {
  return from_host(bytes, tensor, /*non_blocking=*/true);
}

}  // namespace skarv
