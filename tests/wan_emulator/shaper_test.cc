// The link's arithmetic, in virtual time.
#include "wan-emulator/shaper.h"

#include <gtest/gtest.h>

#include "wan-emulator/link.h"

namespace skarv::emulator {
namespace {

using namespace std::chrono_literals;  // NOLINT: tests only

TEST(ShaperTest, ABackloggedLinkPassesExactlyItsRate) {
  Shaper shaper("test");
  shaper.configure({.rate = 12.5e6, .delay = 50ms});
  Time now{}, last{};
  constexpr size_t kNumBytes = 12500000;
  for (size_t sent = 0; sent < kNumBytes; sent += 12500) {
    now = shaper.has_room_at(now);
    last = shaper.pass(12500, now);
  }
  EXPECT_EQ(last, Time{} + 1s + 50ms);
  EXPECT_EQ(shaper.num_bytes(), static_cast<int64_t>(kNumBytes));
}

TEST(ShaperTest, AnIdleLinkDelaysOnly) {
  Shaper shaper("test");
  shaper.configure({.rate = 1e6, .delay = 10ms});
  EXPECT_EQ(shaper.pass(1000, Time{} + 5s), Time{} + 5s + 1ms + 10ms);
  EXPECT_EQ(shaper.pass(1000, Time{} + 9s), Time{} + 9s + 1ms + 10ms);
}

TEST(ShaperTest, TheQueueBoundsWhatIsTaken) {
  Shaper shaper("test");
  shaper.configure({.rate = 1e6, .queue = 20ms});
  const Time now{1s};
  EXPECT_EQ(shaper.has_room_at(now), now);
  shaper.pass(50000, now);  // 50 ms
  EXPECT_EQ(shaper.has_room_at(now), now + 30ms);
}

TEST(ShaperTest, ACutLinkTakesNothing) {
  Shaper shaper("test");
  shaper.set_cut(true);
  EXPECT_EQ(shaper.has_room_at(Time{}), Time::max());
  shaper.set_cut(false);
  EXPECT_EQ(shaper.has_room_at(Time{} + 1s), Time{} + 1s);
}

TEST(ShaperTest, JitterStaysWithinItsBounds) {
  Shaper shaper("test");
  shaper.configure({.delay = 10ms, .jitter = 4ms});
  Duration smallest = 1s, largest{}, sum{};
  for (int i = 0; i < 1000; ++i) {
    const Time now = Time{} + i * 1s;
    const Duration delay = shaper.pass(100, now) - now;
    smallest = std::min(smallest, delay);
    largest = std::max(largest, delay);
    sum += delay;
  }
  EXPECT_GE(smallest, 6ms);
  EXPECT_LE(largest, 14ms);
  EXPECT_LT(smallest, 6500us);
  EXPECT_GT(largest, 13500us);
  EXPECT_NEAR(to_seconds(sum) / 1000, 10e-3, 0.3e-3);
}

TEST(LinkTest, CommandsChangeDirectionsOneByOne) {
  Link link({});
  const Json set = Json::parse(link.execute("set rate=100Mbit a.delay=20ms b.window=4MB"));
  EXPECT_EQ(set["a"]["rate_bytes_per_second"], 12.5e6);
  EXPECT_EQ(set["b"]["rate_bytes_per_second"], 12.5e6);
  EXPECT_EQ(set["a"]["delay_seconds"], 0.02);
  EXPECT_EQ(set["b"]["delay_seconds"], 0);
  EXPECT_EQ(link.stream_rate(Direction::kB), 4e6 / 0.02);
  EXPECT_EQ(link.stream_rate(Direction::kA), 0);
  EXPECT_EQ(Json::parse(link.execute("cut b"))["b"]["cut"], true);
  EXPECT_FALSE(link.direction(Direction::kA).is_cut());
  EXPECT_EQ(Json::parse(link.execute("heal"))["b"]["cut"], false);
}

TEST(LinkTest, BadCommandsChangeNothingAndSaySo) {
  Link link({});
  const std::string before = link.stats().dump();
  for (const char* line :
       {"", "set", "set rate", "set rate=", "set rate=fast", "set rate=-1Mbit", "set rate=1ms",
        "set speed=1Mbit", "set a.delay=1ms c.delay=1ms", "set delay=2000000s", "set rate=nanMbit",
        "set loss=1%", "set seed=x", "cut", "cut c", "heal a b", "stats now", "quit"}) {
    EXPECT_TRUE(Json::parse(link.execute(line)).contains("error")) << line;
    EXPECT_EQ(link.stats().dump(), before) << line;
  }
}

}  // namespace
}  // namespace skarv::emulator
