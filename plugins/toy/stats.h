// What the device computed: calls and seconds of each op, by its own kernels, by the host's kernels
// that it registers as a stand-in for a vendor's library, and by the fallback.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace toy {

enum class Way { kOwn, kLibrary, kFallback };

struct OpCounter {
  std::atomic<int64_t> num_calls{0};
  std::atomic<int64_t> nanoseconds{0};
};

// The counter of an op ("aten::mm.out"); lives as long as the process. Thread-safe.
OpCounter& counter_of(const std::string& op, Way way);

// Counts one call, from construction to destruction.
class Counted {
 public:
  explicit Counted(OpCounter& counter) : counter_(counter) {}
  ~Counted() {
    const auto spent = std::chrono::steady_clock::now() - start_;
    counter_.num_calls.fetch_add(1, std::memory_order_relaxed);
    counter_.nanoseconds.fetch_add(
        std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count(),
        std::memory_order_relaxed);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  OpCounter& counter_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace toy

extern "C" {
// {"own": {"calls": n, "seconds": s}, "library": {...}, "fallback": {...}, "fallback_share": f,
//  "ops": [{"op": "aten::mm.out", "way": "own", "calls": n, "seconds": s}, ...]}, most seconds
//  first;
// the share is of all seconds.
// Valid until the calling thread asks again.
__attribute__((visibility("default"))) const char* skarv_toy_stats_json();
__attribute__((visibility("default"))) void skarv_toy_stats_reset();
}
