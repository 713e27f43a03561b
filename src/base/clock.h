// Time as the rest of the code sees it: monotonic, and virtual in tests.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

namespace skarv {

using Duration = std::chrono::nanoseconds;
// Nanoseconds since an arbitrary start; the same start for one clock.
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;

inline double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}
inline Duration from_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  virtual void sleep_until(Time time) = 0;
  static Clock& real();  // std::chrono::steady_clock
};

// A clock that moves only when told to; sleeping moves it. Not thread-safe.
class VirtualClock : public Clock {
 public:
  Time now() const override { return now_; }
  void sleep_until(Time time) override { now_ = std::max(now_, time); }
  void advance(Duration duration) { now_ += duration; }

 private:
  Time now_{};
};

// Wall-clock time for records people read: "2031-05-04T10:11:12.345Z".
std::string utc_now();

}  // namespace skarv
