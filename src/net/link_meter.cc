#include "net/link_meter.h"

#include <algorithm>

namespace skarv::net {
namespace {

constexpr uint64_t kMinChunks = 8;      // fewer say more about buffers than about the path
constexpr double kNewestWeight = 0.25;  // of the moving average

}  // namespace

void ArrivalMeter::chunk(uint64_t sequence, uint64_t num_chunks, uint64_t chunk_bytes, Time now) {
  if (num_chunks < kMinChunks) return;
  if (sequence != sequence_) {
    // Chunks of the next message overtake the last ones of this one by a stream or two: a message
    // whose end is missed that way is one sample less.
    if (sequence_ != ~uint64_t{0} && sequence < sequence_) return;
    sequence_ = sequence;
    num_seen_ = 1;
    bytes_after_first_ = 0;
    first_ = now;
    return;
  }
  ++num_seen_;
  bytes_after_first_ += chunk_bytes;
  // At three quarters of the message all streams still carry it.
  const Duration elapsed = now - first_;
  if (num_seen_ != std::max(kMinChunks, num_chunks * 3 / 4) || elapsed <= Duration(0)) return;
  const double rate = static_cast<double>(bytes_after_first_) / to_seconds(elapsed);
  rate_ = rate_ == 0 ? rate : rate_ + kNewestWeight * (rate - rate_);
}

void RoundTripMeter::sample(Duration round_trip) {
  recent_[num_samples_++ % recent_.size()] = round_trip;
}

double RoundTripMeter::seconds() const {
  if (num_samples_ == 0) return 0;
  const auto end = recent_.begin() + std::min(num_samples_, recent_.size());
  return to_seconds(*std::min_element(recent_.begin(), end));
}

}  // namespace skarv::net
