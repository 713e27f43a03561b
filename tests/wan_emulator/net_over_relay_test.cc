// Connections of src/net over an emulated link: silence is noticed, control passes bulk, the link
// is measured, bytes agree.
#include "net/transport.h"
#include "wan_emulator/relay_fixture.h"

namespace skarv::emulator {
namespace {

using net::deadline_in;
using net::Lane;

net::Options options_of(const std::string& name) {
  net::Options options;
  options.run = "run";
  options.token = "token";
  options.name = name;
  options.detection_time = 300ms;
  return options;
}

struct Pair {
  explicit Pair(const LinkSettings& settings) {
    listener = far_transport->listen("127.0.0.1:0", options_of("south/b")).value();
    relay = std::make_unique<RunningRelay>(settings, listener->port());
    auto dialed =
        near_transport->connect(relay->address(), options_of("north/a"), deadline_in(20s));
    EXPECT_TRUE(dialed.ok()) << dialed.status();
    near = *std::move(dialed);
    far = listener->accept(deadline_in(20s)).value();
  }
  std::shared_ptr<net::Transport> near_transport = net::make_tcp_transport();
  std::shared_ptr<net::Transport> far_transport = net::make_tcp_transport();
  std::unique_ptr<net::Listener> listener;
  std::unique_ptr<RunningRelay> relay;
  std::unique_ptr<net::Connection> near, far;
};

net::Buffer zeros(size_t num_bytes) { return net::Buffer::take(std::string(num_bytes, '\0')); }

class CutTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, CutTest, testing::Values("a", "b", "both"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(CutTest, IsNoticedByBothEndsWithinTheDetectionTime) {
  Pair pair(settings_of({"delay=1ms"}));
  pair.relay->execute(std::string("cut ") + GetParam());
  const Time cut = Clock::real().now();
  bool says_silence = false;
  for (net::Connection* end : {pair.near.get(), pair.far.get()}) {
    const Status status = end->receive(deadline_in(10s)).status();
    EXPECT_EQ(status.code(), Code::kUnavailable) << status;
    EXPECT_NE(status.message().find("'" + end->peer() + "'"), std::string::npos) << status;
    // Where one direction still works, whoever notices first also ends the other.
    says_silence |= status.message().find("has not answered for 0.3") != std::string::npos;
  }
  EXPECT_TRUE(says_silence);
  // An interval of the heartbeat before the cut, and a busy machine after it.
  EXPECT_GT(Clock::real().now() - cut, 150ms);
  EXPECT_LT(Clock::real().now() - cut, 2s);
}

TEST(NetOverRelayTest, AQuietLinkIsNotTakenForACutOne) {
  Pair pair(settings_of({"delay=20ms", "jitter=5ms"}));
  EXPECT_EQ(pair.near->receive(deadline_in(900ms)).status().code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(pair.near->status().ok()) << pair.near->status();
  EXPECT_TRUE(pair.far->status().ok()) << pair.far->status();
  EXPECT_GE(pair.near->link().round_trip, 0.030);
  EXPECT_LT(pair.near->link().round_trip, 0.060);
}

TEST(NetOverRelayTest, ControlIsNotStarvedByBulkOnAThinLink) {
  Pair pair(settings_of({"rate=40Mbit", "delay=5ms"}));
  // Bulk for two seconds; heartbeats have to answer in 0.3.
  ASSERT_TRUE(pair.near->send({1, "", zeros(10000000)}, Lane::kBulk, deadline_in(5s)).ok());
  for (uint32_t i = 0; i < 5; ++i) {
    const Time start = Clock::real().now();
    ASSERT_TRUE(pair.near->send({100 + i, "", {}}, Lane::kControl, deadline_in(5s)).ok());
    const auto message = pair.far->receive(deadline_in(5s));
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->type, 100 + i) << "before the bulk";
    EXPECT_LT(Clock::real().now() - start, 250ms);
  }
  const auto bulk = pair.far->receive(deadline_in(20s));
  ASSERT_TRUE(bulk.ok()) << bulk.status();
  EXPECT_EQ(bulk->body.size(), 10000000u);
  EXPECT_NEAR(pair.far->link().bandwidth_in, 5e6, 0.5e6);
  // Counted here and counted by the relay: the same bytes.
  const double relayed = pair.relay->execute("stats")["a"]["bytes"];
  const double counted = static_cast<double>(pair.far->traffic().wire_bytes_received);
  EXPECT_NEAR(relayed, counted, 0.02 * counted);
}

}  // namespace
}  // namespace skarv::emulator
