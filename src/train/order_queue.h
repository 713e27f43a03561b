// Orders of the agent on their way from the thread that reads the channel to the rank's thread.
// A new incarnation voids everything ordered before it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/clock.h"
#include "base/status.h"
#include "handoff/messages.h"

namespace skarv::train {

// Thread-safe; one thread puts, one takes.
class OrderQueue {
 public:
  // A Connect or a Stop drops what waits and sets cancelled().
  void put(handoff::Message order);
  // No more orders will come: like a Stop.
  void end() { put(handoff::Stop{}); }

  // The next order. Taking a Connect clears cancelled(). Error: kDeadlineExceeded.
  Result<handoff::Message> take(Time deadline);
  // The Apply for `round`, wherever it stands. Errors: kDeadlineExceeded; kCancelled after a
  // Connect or Stop.
  Result<handoff::ApplyOrder> take_apply(int64_t round, Time deadline);

  // True while a Connect or Stop waits: what the rank does now is void.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<handoff::Message> orders_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace skarv::train
