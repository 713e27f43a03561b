// What a rank is doing, for its heartbeat: written by the rank's thread, read by another.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace skarv::train {

class Progress {
 public:
  void begin(std::string doing) {
    std::lock_guard lock(mutex_);
    doing_ = std::move(doing);
  }
  // One more thing done. Stands still while the rank waits.
  void end() { ++num_done_; }

  int64_t num_done() const { return num_done_; }
  std::string doing() const {
    std::lock_guard lock(mutex_);
    return doing_;
  }

 private:
  std::atomic<int64_t> num_done_{0};
  mutable std::mutex mutex_;
  std::string doing_ = "start";
};

}  // namespace skarv::train
