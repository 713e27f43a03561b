#include "device/pace.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace skarv {

Status Pacer::check_share(double share) {
  if (std::isfinite(share) && share > 0 && share <= 1) return {};
  return config_error("a paced device of share " + std::to_string(share))
      .with_hint("shares are speeds relative to the nominal table, above 0 and at most 1");
}

Pacer::Pacer(double share, Clock& clock)
    : share_(share), clock_(clock), previous_end_(clock.now()), start_(previous_end_) {}

Time Pacer::begin(Time inputs_ready) {
  start_ = std::max(previous_end_, inputs_ready);
  waiting_ += start_ - previous_end_;
  return start_;
}

Time Pacer::end(Duration nominal) {
  const Time due = start_ + Duration(std::llround(static_cast<double>(nominal.count()) / share_));
  clock_.sleep_until(due);
  const Time now = clock_.now();
  const bool missed = now - due > kMaxCarry;
  previous_end_ = missed ? now : due;
  busy_ += previous_end_ - start_;
  ++num_slots_;
  num_missed_slots_ += missed ? 1 : 0;
  // A second end() without begin() is a slot that follows at once.
  start_ = previous_end_;
  return previous_end_;
}

}  // namespace skarv
