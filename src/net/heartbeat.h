// When to ask the peer for an answer, and when its silence is a failure: judged by the own clock
// only, from the last answer to a question of ours, so each direction stands for itself. Pure; the
// session calls it from its thread.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace skarv::net {

class Heartbeat {
 public:
  Heartbeat(Duration detection_time, Time now)
      : detection_time_(detection_time),
        interval_(detection_time / 5),
        last_answer_(now),
        next_check_(now) {}

  // Call at (or after) next_check(). A call that comes later than an interval means that this
  // process did not run (stopped, or starved of CPU): answers may wait unread in its own sockets,
  // so the time away is not held against the peer.
  struct Verdict {
    bool ask = false;     // send a ping now
    bool failed = false;  // silent for longer than the detection time
  };
  Verdict check(Time now) {
    const Duration late = now - next_check_;
    if (late > interval_) last_answer_ += late;
    next_check_ = now + interval_;
    return {.ask = true, .failed = now - last_answer_ > detection_time_};
  }
  void answered(Time now) { last_answer_ = now; }

  // Never later than the moment at which silence becomes a failure.
  Time next_check() const {
    return std::min(next_check_, last_answer_ + detection_time_ + std::chrono::milliseconds(1));
  }
  Duration silence(Time now) const { return now - last_answer_; }
  Duration detection_time() const { return detection_time_; }

 private:
  const Duration detection_time_, interval_;
  Time last_answer_, next_check_;
};

}  // namespace skarv::net
