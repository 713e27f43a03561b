#include "device/cpu_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <malloc.h>

#include <atomic>
#include <mutex>

namespace skarv {
namespace {

std::atomic<int64_t> allocated_bytes{0};
std::atomic<int64_t> peak_bytes{0};

void add(int64_t bytes) {
  const int64_t now = allocated_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

// libtorch's CPU memory comes from malloc, which knows the size of a block: no table is needed.
void free_counted(void* pointer) {
  allocated_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(pointer)),
                            std::memory_order_relaxed);
  c10::GetDefaultCPUAllocator()->raw_deallocate(pointer);
}

class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t num_bytes) override {
    void* pointer = c10::GetDefaultCPUAllocator()->raw_allocate(num_bytes);
    if (pointer != nullptr) add(static_cast<int64_t>(malloc_usable_size(pointer)));
    return {pointer, pointer, &free_counted, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_counted; }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    default_copy_data(to, from, num_bytes);
  }
};

}  // namespace

void count_cpu_memory() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Never freed: tensors with static lifetime return their memory after any destructor of ours.
    static auto* const allocator = new CountingAllocator;
    c10::SetCPUAllocator(allocator, /*priority=*/200);
    mallopt(M_MMAP_MAX, 0);         // large blocks from the heap, which reuses them
    mallopt(M_TRIM_THRESHOLD, -1);  // whose end stays
  });
}

CpuMemory cpu_memory() {
  count_cpu_memory();
  return {allocated_bytes.load(std::memory_order_relaxed),
          peak_bytes.load(std::memory_order_relaxed)};
}

void reset_cpu_peak() {
  count_cpu_memory();
  peak_bytes.store(allocated_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace skarv
