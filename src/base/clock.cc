#include "base/clock.h"

#include <cstdio>
#include <ctime>
#include <thread>

namespace skarv {

namespace {
class RealClock : public Clock {
 public:
  Time now() const override { return std::chrono::steady_clock::now(); }
  void sleep_until(Time time) override { std::this_thread::sleep_until(time); }
};
}  // namespace

Clock& Clock::real() {
  static RealClock clock;
  return clock;
}

std::string utc_now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts;
  gmtime_r(&now.tv_sec, &parts);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                now.tv_nsec / 1000000);
  return buffer;
}

}  // namespace skarv
