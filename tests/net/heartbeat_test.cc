// Silence and measurement, in virtual time.
#include "net/heartbeat.h"

#include <gtest/gtest.h>

#include "net/link_meter.h"

namespace skarv::net {
namespace {

using namespace std::chrono_literals;  // NOLINT: tests only

TEST(HeartbeatTest, SilenceFailsRightAfterTheDetectionTime) {
  VirtualClock clock;
  Heartbeat heartbeat(1s, clock.now());
  for (int i = 0; i < 10; ++i) {
    clock.sleep_until(heartbeat.next_check());
    ASSERT_FALSE(heartbeat.check(clock.now()).failed);
    clock.advance(30ms);
    heartbeat.answered(clock.now());
  }
  const Time last_answer = clock.now();
  while (!heartbeat.check(clock.now()).failed) clock.sleep_until(heartbeat.next_check());
  EXPECT_GT(clock.now() - last_answer, 1s);
  EXPECT_LT(clock.now() - last_answer, 1010ms);
}

TEST(HeartbeatTest, OwnAbsenceIsNotThePeersSilence) {
  VirtualClock clock;
  Heartbeat heartbeat(1s, clock.now());
  EXPECT_FALSE(heartbeat.check(clock.now()).failed);
  clock.advance(60s);  // this process was stopped
  EXPECT_FALSE(heartbeat.check(clock.now()).failed) << "answers may wait in the socket";
  while (!heartbeat.check(clock.now()).failed) clock.sleep_until(heartbeat.next_check());
  EXPECT_LT(clock.now() - Time{}, 62s) << "but if there are none, it does fail";
}

TEST(LinkMeterTest, RateIsThatWithinMessages) {
  ArrivalMeter meter;
  Time now{};
  for (uint64_t sequence = 0; sequence < 5; ++sequence) {
    now += 10s;  // pauses between messages do not count
    for (int i = 0; i < 40; ++i) meter.chunk(sequence, 40, 1000, now += 1ms);
  }
  EXPECT_NEAR(meter.bytes_per_second(), 1e6, 1);
  ArrivalMeter small;
  for (int i = 0; i < 7; ++i) small.chunk(0, 7, 1000, now += 1ms);
  EXPECT_EQ(small.bytes_per_second(), 0) << "too short to tell";
}

TEST(LinkMeterTest, RoundTripIsTheSmallestOfTheRecent) {
  RoundTripMeter meter;
  EXPECT_EQ(meter.seconds(), 0);
  meter.sample(5ms);
  meter.sample(9ms);
  EXPECT_EQ(meter.seconds(), 5e-3);
  for (int i = 0; i < 32; ++i) meter.sample(8ms);
  EXPECT_EQ(meter.seconds(), 8e-3) << "the path has changed";
}

}  // namespace
}  // namespace skarv::net
