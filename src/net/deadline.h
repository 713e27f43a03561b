// Until when a call may block: a point on the real monotonic clock.
#pragma once

#include "base/clock.h"

namespace skarv::net {

using Deadline = Time;

inline Deadline deadline_in(Duration duration) { return Clock::real().now() + duration; }
// A deadline that has passed: the call does what it can do at once and never blocks.
inline Deadline no_waiting() { return Time{}; }

}  // namespace skarv::net
