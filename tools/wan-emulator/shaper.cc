#include "wan-emulator/shaper.h"

#include <algorithm>

namespace skarv::emulator {

Time Serialiser::pass(size_t num_bytes, double rate, Time now) {
  free_at_ = std::max(free_at_, now);
  if (rate > 0) free_at_ += from_seconds(static_cast<double>(num_bytes) / rate);
  return free_at_;
}

Shaper::Shaper(std::string name)
    : name_(std::move(name)), random_(0, name_), loss_(0, name_ + ".loss") {}

void Shaper::configure(const DirectionSettings& settings) {
  if (settings.seed != settings_.seed) {
    random_ = CounterRandom(settings.seed, name_);
    loss_ = CounterRandom(settings.seed, name_ + ".loss");
  }
  settings_ = settings;
}

bool Shaper::loses_next() {
  constexpr uint64_t kBound = uint64_t{1} << 31;
  const bool is_lost = static_cast<double>(loss_.below(num_packets_++, kBound)) <
                       settings_.loss * static_cast<double>(kBound);
  num_lost_ += is_lost;
  return is_lost;
}

Time Shaper::has_room_at(Time now) const {
  if (is_cut_) return Time::max();
  return std::max(now, link_.free_at() - settings_.queue);
}

size_t Shaper::quantum() const {
  constexpr size_t kSmallest = 1448, kLargest = size_t{128} << 10;
  if (settings_.rate == 0) return kLargest;
  return std::clamp(static_cast<size_t>(settings_.rate * 1e-3), kSmallest, kLargest);
}

Time Shaper::pass(size_t num_bytes, Time now) {
  num_bytes_ += static_cast<int64_t>(num_bytes);
  const Time through = link_.pass(num_bytes, settings_.rate, now);
  Duration delay = settings_.delay;
  if (settings_.jitter > Duration(0)) {
    const auto span = static_cast<uint64_t>(settings_.jitter.count()) * 2 + 1;
    const uint64_t word = random_.at(num_chunks_++) % span;
    delay += Duration(static_cast<int64_t>(word)) - settings_.jitter;
  }
  return through + std::max(delay, Duration(0));
}

}  // namespace skarv::emulator
