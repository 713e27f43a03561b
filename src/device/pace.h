// Pacing: makes a fast host behave like a device of a given speed, exactly and repeatably, so that
// schedules, overlap and mixtures can be measured on one laptop.
//
// The rule: a device of share s ends action i not before
//     max(end of action i-1, inputs of i ready) + nominal_i / s.
// Nominal times come from a fixed table that lies above what the host needs (35 to 40 % over its
// minimum), so the sleep fills the rest. A wait for inputs is never made up: counting from the
// start of the step instead would let a device that waited run ahead and hide what is to be
// measured. It measures scheduling, balance, overlap and communication; it says nothing about
// kernels.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/status.h"

namespace skarv {

// One a device, used by the thread that executes its actions. Not thread-safe.
class Pacer {
 public:
  // An end that comes later than its slot by at most this is carried: the next slot starts where
  // this one should have ended. Beyond it the slot is missed and its lateness stays.
  static constexpr Duration kMaxCarry = std::chrono::milliseconds(1);

  static Status check_share(double share);
  // `share`: speed relative to the nominal table, in (0, 1]. REQUIRES: check_share(share).ok().
  Pacer(double share, Clock& clock);

  // Opens the slot of the next action and returns where it starts: the end of the previous slot or
  // `inputs_ready`, whichever is later. Does not sleep. Give the moment when the last input came,
  // not now(), which would turn a late wake-up into a wait; an action without inputs gives nothing.
  Time begin(Time inputs_ready = Time::min());
  // The work of the open slot is done: sleeps until its end and returns that end.
  Time end(Duration nominal);

  double share() const { return share_; }
  int64_t num_slots() const { return num_slots_; }
  // Slots that ended more than kMaxCarry late. A measured run that has any is to be rejected: the
  // host was too slow for what it had to emulate.
  int64_t num_missed_slots() const { return num_missed_slots_; }
  double busy_seconds() const { return to_seconds(busy_); }        // inside slots
  double waiting_seconds() const { return to_seconds(waiting_); }  // between them, for inputs

 private:
  const double share_;
  Clock& clock_;
  Time previous_end_;
  Time start_;
  int64_t num_slots_ = 0;
  int64_t num_missed_slots_ = 0;
  Duration busy_{};
  Duration waiting_{};
};

}  // namespace skarv
