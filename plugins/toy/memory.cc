#include "memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "context.h"

namespace toy {
namespace {

using c10::CachingDeviceAllocator::DeviceStats;

constexpr size_t kAlignment = 64;

// What stands behind one pointer. `lender` keeps memory alive that a host kernel made.
struct Block {
  void* host = nullptr;
  size_t num_bytes = 0;
  int device = 0;
  c10::Storage lender;
};

class Ledger {
 public:
  // Refuses what the device's share of the host cannot hold.
  void add(Block* block) {
    const std::lock_guard lock(mutex_);
    DeviceStats& stats = stats_[block->device];
    const auto held = static_cast<size_t>(stats.allocated_bytes[0].current);
    if (held + block->num_bytes > total_bytes()) {
      ++stats.num_ooms;
      C10_THROW_ERROR(OutOfMemoryError, "toy:" + std::to_string(block->device) + " holds " +
                                            std::to_string(held) + " of " +
                                            std::to_string(total_bytes()) + " bytes, asked for " +
                                            std::to_string(block->num_bytes));
    }
    stats.allocation[0].increase(1);
    for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                        &stats.requested_bytes}) {
      (*bytes)[0].increase(block->num_bytes);
    }
    blocks_.emplace(to_fake(block->host), block->device);
  }
  void remove(Block* block) {
    const std::lock_guard lock(mutex_);
    DeviceStats& stats = stats_[block->device];
    stats.allocation[0].decrease(1);
    for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                        &stats.requested_bytes}) {
      (*bytes)[0].decrease(block->num_bytes);
    }
    blocks_.erase(to_fake(block->host));
  }
  int device_of(const void* fake) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(fake);
    return found == blocks_.end() ? -1 : found->second;
  }
  template <typename Use>
  void with_stats(int device, Use&& use) {
    const std::lock_guard lock(mutex_);
    use(stats_.at(device));
  }
  static size_t total_bytes() {
    static const size_t total = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) *
                                static_cast<size_t>(sysconf(_SC_PAGESIZE)) / kNumDevices;
    return total;
  }

 private:
  std::mutex mutex_;
  std::array<DeviceStats, kNumDevices> stats_;
  std::unordered_map<const void*, int> blocks_;
};

Ledger& ledger() {
  static auto* const instance = new Ledger;  // outlives tensors with static lifetime
  return *instance;
}

void free_block(void* context) {
  auto* block = static_cast<Block*>(context);
  ledger().remove(block);
  if (!block->lender) std::free(block->host);
  delete block;
}

c10::DataPtr hand_out(std::unique_ptr<Block> block) {
  ledger().add(block.get());
  void* const fake = to_fake(block->host);
  const c10::Device device(c10::DeviceType::PrivateUse1,
                           static_cast<c10::DeviceIndex>(block->device));
  return {fake, block.release(), &free_block, device};
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t num_bytes) override {
    return toy::allocate(num_bytes, current_device());
  }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    std::memcpy(to_host(to), to_host(from), num_bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    DeviceStats copy;
    ledger().with_stats(device, [&](const DeviceStats& stats) { copy = stats; });
    return copy;
  }
  void resetAccumulatedStats(c10::DeviceIndex device) override {
    ledger().with_stats(device, [](DeviceStats& stats) {
      stats.allocation[0].reset_accumulated();
      for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                          &stats.requested_bytes}) {
        (*bytes)[0].reset_accumulated();
      }
      stats.num_ooms = 0;
    });
  }
  void resetPeakStats(c10::DeviceIndex device) override {
    ledger().with_stats(device, [](DeviceStats& stats) {
      stats.allocation[0].reset_peak();
      for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                          &stats.requested_bytes}) {
        (*bytes)[0].reset_peak();
      }
    });
  }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    size_t held = 0;
    ledger().with_stats(device, [&](const DeviceStats& stats) {
      held = static_cast<size_t>(stats.allocated_bytes[0].current);
    });
    return {Ledger::total_bytes() - held, Ledger::total_bytes()};
  }
};

}  // namespace

int device_of(const void* fake) { return ledger().device_of(fake); }

c10::DeviceAllocator& allocator() {
  static auto* const instance = new Allocator;
  return *instance;
}

c10::DataPtr allocate(size_t num_bytes, int device) {
  auto block = std::make_unique<Block>();
  block->device = device;
  block->num_bytes = num_bytes;
  if (num_bytes == 0) {
    return {nullptr,
            c10::Device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(device))};
  }
  if (posix_memalign(&block->host, kAlignment, num_bytes) != 0) {
    C10_THROW_ERROR(OutOfMemoryError, "toy:" + std::to_string(device) + ": the host has no " +
                                          std::to_string(num_bytes) + " bytes");
  }
  void* const host = block->host;
  try {
    return hand_out(std::move(block));
  } catch (...) {
    std::free(host);
    throw;
  }
}

c10::Storage adopt(const c10::Storage& host, int device) {
  const size_t num_bytes = host.nbytes();
  if (host.data() == nullptr || num_bytes == 0) {
    return c10::Storage(c10::Storage::use_byte_size_t(), 0, allocate(0, device), &allocator(),
                        true);
  }
  auto block = std::make_unique<Block>();
  block->host = host.mutable_data();
  block->num_bytes = num_bytes;
  block->device = device;
  block->lender = host;
  return c10::Storage(c10::Storage::use_byte_size_t(), num_bytes, hand_out(std::move(block)),
                      &allocator(), true);
}

}  // namespace toy
