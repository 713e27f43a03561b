// The toy's memory. It lies on the host, but pointers to it are handed out shifted by 2^46, beyond
// what a process may address: code that takes them for host memory faults at the first access
// instead of working by accident. Only copies and the toy's kernels shift them back.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Storage.h>

#include <cstdint>

namespace toy {

constexpr int kNumDevices = 2;
constexpr std::uintptr_t kShift = std::uintptr_t{1} << 46;

// The null pointer stays null both ways.
inline void* to_fake(void* host) {
  return host == nullptr ? nullptr
                         : reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(host) + kShift);
}
inline void* to_host(const void* fake) {
  return fake == nullptr ? nullptr
                         : reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(fake) - kShift);
}

// The device of a pointer that an allocation of the toy begins with; -1 for any other.
int device_of(const void* fake);

// Thread-safe, lives as long as the process. Memory beyond a device's share of the host's raises
// c10::OutOfMemoryError.
c10::DeviceAllocator& allocator();
c10::DataPtr allocate(size_t num_bytes, int device);

// Memory that a host kernel made, taken over without a copy: counted as the device's from now on.
c10::Storage adopt(const c10::Storage& host, int device);

}  // namespace toy
