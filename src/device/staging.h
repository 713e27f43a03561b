// Tensors to host bytes and back: how they reach a socket, a checkpoint, another maker's device.
// Bytes are the tensor's elements in row-major order, dense, in the host's byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "device/device.h"

namespace at {
class Tensor;
}

namespace skarv {

// Host memory of a fixed size for the traffic of one device: pinned where the device offers that
// (copies then run by themselves), plain otherwise. Move-only; whoever starts a copy keeps it alive
// until the copy is done.
class HostBuffer {
 public:
  static Result<HostBuffer> create(const Device& device, int64_t num_bytes);
  HostBuffer(HostBuffer&&) noexcept;
  HostBuffer& operator=(HostBuffer&&) noexcept;
  ~HostBuffer();

  std::span<std::byte> bytes() const;
  bool pinned() const;

 private:
  struct State;
  explicit HostBuffer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Bytes that `tensor` takes on the host, also where it is a strided view.
int64_t num_host_bytes(const at::Tensor& tensor);

// Copies and returns when the bytes are there. Any strides, any device, no gradient is recorded.
// Error: kInvalidArgument unless the sizes agree exactly.
Status copy_to_host(const at::Tensor& tensor, std::span<std::byte> bytes);
Status copy_from_host(std::span<const std::byte> bytes, const at::Tensor& tensor);

// The same, but from or to a HostBuffer's memory without waiting: in order on the calling thread's
// current stream, complete when an Event recorded on it afterwards is done. Neither side may be
// touched before. Where the memory is not pinned, and on cpu, it is complete on return.
Status start_copy_to_host(const at::Tensor& tensor, std::span<std::byte> bytes);
Status start_copy_from_host(std::span<const std::byte> bytes, const at::Tensor& tensor);

}  // namespace skarv
