// The relay of packets: TCP end to end over it, measured as a user would see it.
#include "wan_emulator/tun_fixture.h"

namespace skarv::emulator {
namespace {

double best_round_trip(const FileHandle& near, const FileHandle& far) {
  double best = 1e9;
  char byte = 'x';
  for (int i = 0; i < 10; ++i) {
    const Time start = Clock::real().now();
    EXPECT_EQ(::send(near.get(), &byte, 1, 0), 1);
    EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 1);
    EXPECT_EQ(::send(far.get(), &byte, 1, 0), 1);
    EXPECT_EQ(::recv(near.get(), &byte, 1, 0), 1);
    best = std::min(best, to_seconds(Clock::real().now() - start));
  }
  return best;
}

TEST_F(SlowTunTest, TheRoundTripIsTheDelayThereAndBack) {
  start({"rate=100Mbit", "delay=50ms"});
  const auto [near, far] = connection();
  const double measured = best_round_trip(near, far);
  RecordProperty("round_trip_ms", std::to_string(measured * 1e3));
  EXPECT_GE(measured, 0.100);
  EXPECT_LE(measured, 0.102 + 0.001);
}

TEST_F(SlowTunTest, TcpGetsTheRateLessItsHeaders) {
  // The queue is longer than the round trip: the link never runs dry after a loss.
  start({"rate=100Mbit", "delay=5ms", "queue=60ms"});
  const auto [near, far] = connection();
  constexpr size_t kWarmUp = 10000000, kMeasured = 30000000;
  std::thread sender([&, socket = &near] { send_all(*socket, kWarmUp + kMeasured); });
  size_t received = 0;
  while (received < kWarmUp) received += receive_some(far, kWarmUp - received);
  const Time start = Clock::real().now();
  while (received < kWarmUp + kMeasured) {
    received += receive_some(far, kWarmUp + kMeasured - received);
  }
  const double seconds = to_seconds(Clock::real().now() - start);
  sender.join();
  const double rate = kMeasured * 8 / seconds * 1500 / 1448;
  RecordProperty("Mbit", std::to_string(rate / 1e6));
  EXPECT_NEAR(rate, 100e6, 5e6);
}

TEST_F(SlowTunTest, LossIsExactAndTheSeedsOwn) {
  start({"a.loss=1%", "seed=5"});
  const FileHandle near = bound(0, SOCK_DGRAM, 7001), far = bound(1, SOCK_DGRAM, 7000);
  const sockaddr_in to = address_of(1, 7000);
  constexpr int64_t kNumPackets = 200000, kBatch = 100;
  int64_t received = 0;
  Json stats;
  char bytes[16] = {};
  for (int64_t sent = 0; sent < kNumPackets;) {
    for (int64_t i = 0; i < kBatch; ++i, ++sent) {
      ASSERT_EQ(::sendto(near.get(), bytes, sizeof bytes, 0, reinterpret_cast<const sockaddr*>(&to),
                         sizeof to),
                static_cast<ssize_t>(sizeof bytes));
    }
    const Time deadline = Clock::real().now() + 20s;
    do stats = execute("stats")["a"];
    while (stats["packets"] < sent && Clock::real().now() < deadline);
    ASSERT_EQ(stats["packets"], sent);
    // Every packet that the relay did not lose arrives, and none besides.
    const int64_t expected = sent - stats["lost"].get<int64_t>();
    for (; received < expected; ++received) ASSERT_GT(::recv(far.get(), bytes, sizeof bytes, 0), 0);
  }
  EXPECT_LT(::recv(far.get(), bytes, sizeof bytes, MSG_DONTWAIT), 0);
  const double lost = stats["lost"];
  RecordProperty("lost_percent", std::to_string(lost / kNumPackets * 100));
  EXPECT_NEAR(lost / kNumPackets, 0.01, 0.001);
  EXPECT_EQ(stats["dropped"], 0);
  Shaper model("a");
  model.configure({.loss = 0.01, .seed = 5});
  for (int64_t i = 0; i < kNumPackets; ++i) model.loses_next();
  EXPECT_EQ(stats["lost"], model.num_lost());
}

TEST_F(SlowTunTest, ACutDirectionLosesItsPacketsAndTheOtherWorks) {
  start({"delay=1ms"});
  const FileHandle near = bound(0, SOCK_DGRAM, 7001), far = bound(1, SOCK_DGRAM, 7000);
  const sockaddr_in to_a = address_of(0, 7001), to_b = address_of(1, 7000);
  const auto send_to = [](const FileHandle& from, const sockaddr_in& to, char byte) {
    EXPECT_EQ(::sendto(from.get(), &byte, 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
              1);
  };
  char byte = 0;
  execute("cut a");
  send_to(near, to_b, 'x');
  send_to(far, to_a, 'y');
  EXPECT_EQ(::recv(near.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'y');
  // Until the relay has seen it too.
  const Time deadline = Clock::real().now() + 20s;
  while (execute("stats")["a"]["dropped"] == 0 && Clock::real().now() < deadline) {
  }
  execute("heal");
  send_to(near, to_b, 'z');
  EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'z') << "what was sent during the cut is gone";
}

TEST_F(SlowTunTest, TheProgramRunsACommandInEachAndReturnsTheirExitCode) {
  const auto code_of = [](const std::string& arguments) {
    return WEXITSTATUS(std::system((SKARV_WAN " tun " + arguments + " > /dev/null 2>&1").c_str()));
  };
  EXPECT_EQ(code_of("--in-a true --in-b true"), 0);
  EXPECT_EQ(code_of("--in-a true --in-b 'exit 7'"), 7);
  EXPECT_EQ(code_of("--in-a 'kill -9 $$'"), 137);
  EXPECT_EQ(code_of("--in-a true --congestion none-such"), 3) << "the kernel refuses it";
  EXPECT_EQ(code_of("--in-a true --loss 101%"), 2);
  EXPECT_EQ(code_of("--in-a true --window 1MB"), 2);
}

}  // namespace
}  // namespace skarv::emulator
