// The heartbeat of src/net over a link of packets: a cut in one direction is noticed by both ends.
#include "net/certificate.h"
#include "net/transport.h"
#include "wan_emulator/tun_fixture.h"

namespace skarv::emulator {
namespace {

using net::deadline_in;

TEST_F(SlowTunTest, ACutOfOneDirectionIsNoticedByBothEndsOfAConnection) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / cat("skarv-tun-test-", ::getpid());
  ASSERT_TRUE(net::make_authority(folder, "run").ok());
  const auto options_of = [&](const std::string& name) {
    net::Options options;
    options.run = "run";
    options.token = "token";
    options.name = name;
    options.credentials = net::make_certificate(folder, name).value();
    options.detection_time = 500ms;
    return options;
  };
  start({"rate=100Mbit", "delay=5ms"});
  // A transport's thread is born in the namespace, and makes its sockets there.
  std::shared_ptr<net::Transport> near_transport, far_transport;
  inside(0, [&] { near_transport = net::make_tls_transport(); });
  inside(1, [&] { far_transport = net::make_tls_transport(); });
  std::unique_ptr<net::Listener> listener;
  inside(1, [&] {
    auto made = far_transport->listen("10.77.0.2:7000", options_of("south/b"));
    ASSERT_TRUE(made.ok()) << made.status();
    listener = *std::move(made);
  });
  ASSERT_TRUE(listener);
  std::unique_ptr<net::Connection> near;
  inside(0, [&] {
    auto made = near_transport->connect("10.77.0.2:7000", options_of("north/a"), deadline_in(20s));
    ASSERT_TRUE(made.ok()) << made.status();
    near = *std::move(made);
  });
  ASSERT_TRUE(near);
  const auto far = listener->accept(deadline_in(20s)).value();
  std::filesystem::remove_all(folder);
  EXPECT_EQ(near->receive(deadline_in(1s)).status().code(), Code::kDeadlineExceeded) << "quiet";
  execute("cut a");
  const Time cut = Clock::real().now();
  for (net::Connection* end : {near.get(), far.get()}) {
    const Status status = end->receive(deadline_in(10s)).status();
    EXPECT_EQ(status.code(), Code::kUnavailable) << status;
  }
  EXPECT_GT(Clock::real().now() - cut, 250ms);
  EXPECT_LT(Clock::real().now() - cut, 3s);
}

}  // namespace
}  // namespace skarv::emulator
