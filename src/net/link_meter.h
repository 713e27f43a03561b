// Measures a path from what the connection does anyway. Pure; the session calls it from its thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace skarv::net {

// Payload rate of arriving bulk, from within messages that are long enough: inside a message the
// sender always has more to send, so gaps between messages never count.
class ArrivalMeter {
 public:
  // A chunk of message `sequence` (in all `num_chunks`) is whole.
  void chunk(uint64_t sequence, uint64_t num_chunks, uint64_t chunk_bytes, Time now);
  double bytes_per_second() const { return rate_; }  // 0: not measured yet

 private:
  uint64_t sequence_ = ~uint64_t{0};
  uint64_t num_seen_ = 0, bytes_after_first_ = 0;
  Time first_{};
  double rate_ = 0;
};

// The smallest of the recent round trips: the path without its queues.
class RoundTripMeter {
 public:
  void sample(Duration round_trip);
  double seconds() const;  // 0: not measured yet

 private:
  std::array<Duration, 32> recent_{};
  size_t num_samples_ = 0;
};

}  // namespace skarv::net
