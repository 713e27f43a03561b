#include "device/pace.h"

#include <gtest/gtest.h>

#include <limits>

namespace skarv {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A clock whose sleeps end late by a set amount, as those of a busy host do.
class LateClock : public VirtualClock {
 public:
  void sleep_until(Time time) override {
    if (time <= now()) return;
    VirtualClock::sleep_until(time + lateness);
  }
  Duration lateness{};
};

class PacerTest : public testing::Test {
 protected:
  // Does one action that takes `work` on the host; returns its end.
  Time act(Pacer& pacer, Duration work, Duration nominal, Time inputs_ready = Time::min()) {
    pacer.begin(inputs_ready);
    clock_.advance(work);
    return pacer.end(nominal);
  }
  LateClock clock_;
  const Time start_ = clock_.now();
};

TEST_F(PacerTest, TakesNominalOverShareWhateverTheWorkNeeds) {
  Pacer pacer(0.25, clock_);
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(act(pacer, milliseconds(i), milliseconds(5)), start_ + i * milliseconds(20));
  }
  EXPECT_DOUBLE_EQ(pacer.busy_seconds(), 0.2);
  EXPECT_DOUBLE_EQ(pacer.waiting_seconds(), 0);
  EXPECT_EQ(pacer.num_missed_slots(), 0);
  EXPECT_EQ(pacer.num_slots(), 10);
}

TEST_F(PacerTest, AWaitIsNeverMadeUp) {
  Pacer pacer(0.5, clock_);
  act(pacer, milliseconds(1), milliseconds(5));  // ends at 10 ms
  clock_.advance(milliseconds(7));               // the inputs come at 17 ms
  EXPECT_EQ(act(pacer, milliseconds(1), milliseconds(5), clock_.now()), start_ + milliseconds(27));
  EXPECT_DOUBLE_EQ(pacer.waiting_seconds(), 0.007);
  EXPECT_DOUBLE_EQ(pacer.busy_seconds(), 0.020);
}

TEST_F(PacerTest, InputsThatWereReadyEarlyDoNotDelayTheSlot) {
  Pacer pacer(1.0, clock_);
  act(pacer, milliseconds(1), milliseconds(4));
  const Time ready_long_ago = start_ + milliseconds(1);
  EXPECT_EQ(pacer.begin(ready_long_ago), start_ + milliseconds(4));
  clock_.advance(milliseconds(2));  // unpaid work between the slots is inside the next one
  EXPECT_EQ(pacer.end(milliseconds(4)), start_ + milliseconds(8));
}

TEST_F(PacerTest, SmallOvershootIsCarriedSoThatTheSpeedStaysExact) {
  clock_.lateness = microseconds(900);
  Pacer pacer(1.0, clock_);
  for (int i = 0; i < 100; ++i) act(pacer, milliseconds(1), milliseconds(5));
  EXPECT_EQ(clock_.now(), start_ + milliseconds(500) + microseconds(900));
  EXPECT_EQ(pacer.num_missed_slots(), 0);
}

TEST_F(PacerTest, LargeOvershootIsAMissedSlotAndStays) {
  clock_.lateness = microseconds(1100);
  Pacer pacer(1.0, clock_);
  EXPECT_EQ(act(pacer, milliseconds(1), milliseconds(5)), start_ + microseconds(6100));
  EXPECT_EQ(pacer.num_missed_slots(), 1);
  clock_.lateness = {};
  EXPECT_EQ(act(pacer, milliseconds(1), milliseconds(5)), start_ + microseconds(11100));
  EXPECT_EQ(pacer.num_missed_slots(), 1);
}

TEST_F(PacerTest, WorkLongerThanItsSlotIsMissed) {
  Pacer pacer(1.0, clock_);
  EXPECT_EQ(act(pacer, milliseconds(9), milliseconds(5)), start_ + milliseconds(9));
  EXPECT_EQ(pacer.num_missed_slots(), 1);
}

// The control of every paced measurement: an injected wait has to show at its full size.
TEST_F(PacerTest, AnInjectedWaitOfFivePercentShowsAsFivePercent) {
  const auto run = [&](Duration injected) {
    Pacer pacer(0.4, clock_);
    const Time begin = clock_.now();
    Time inputs_ready = begin;
    for (int step = 0; step < 20; ++step) {
      for (int action = 0; action < 8; ++action) {
        act(pacer, milliseconds(2), milliseconds(5), inputs_ready);
      }
      clock_.advance(injected);
      inputs_ready = clock_.now();
    }
    return to_seconds(clock_.now() - begin);
  };
  const double plain = run({});
  const double waited = run(milliseconds(5));  // of a step of 8 * 5 / 0.4 = 100 ms
  EXPECT_NEAR(waited / plain, 1.05, 1e-9);
}

TEST(PacerShareTest, RefusesSharesThatNoDeviceHas) {
  EXPECT_TRUE(Pacer::check_share(0.3).ok());
  EXPECT_TRUE(Pacer::check_share(1.0).ok());
  for (double share : {0.0, -1.0, 1.5, std::numeric_limits<double>::infinity(),
                       std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(Pacer::check_share(share).code(), Code::kInvalidArgument) << share;
  }
}

}  // namespace
}  // namespace skarv
