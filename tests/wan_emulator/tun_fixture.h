// Two namespaces with a link between them in this process, and sockets made inside them. A test
// that may not do so is skipped with the kernel's reason.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include <functional>

#include "base/text.h"
#include "wan-emulator/namespace.h"
#include "wan-emulator/tun_relay.h"
#include "wan_emulator/relay_fixture.h"

namespace skarv::emulator {

class SlowTunTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* address : {"10.77.0.1", "10.77.0.2"}) {
      auto side = Namespace::make({.address = address, .congestion = "reno"});
      if (!side.ok()) GTEST_SKIP() << side.status();
      sides_.push_back(*std::move(side));
    }
    if (!inside(0, [] {})) GTEST_SKIP() << "may not enter a network namespace of its own: no root";
  }
  ~SlowTunTest() override {
    if (!relay_) return;
    relay_->stop();
    thread_.join();
  }

  void start(const std::vector<std::string>& settings) {
    relay_ = std::make_unique<TunRelay>(settings_of(settings),
                                        std::array{sides_[0].tun(), sides_[1].tun()});
    ASSERT_TRUE(relay_->open().ok());
    thread_ = std::thread([this] {
      const Status status = relay_->run({});
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  Json execute(const std::string& line) { return Json::parse(relay_->execute(line)); }

  // Runs `work` in a thread inside the namespace of `side`; what it makes stays there. False: not
  // allowed.
  bool inside(size_t side, const std::function<void()>& work) {
    bool is_inside = false;
    std::thread([&] {
      const FileHandle space(
          ::open(cat("/proc/", sides_[side].pid(), "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
      is_inside = setns(space.get(), CLONE_NEWNET) == 0;
      if (is_inside) work();
    }).join();
    return is_inside;
  }

  static sockaddr_in address_of(size_t side, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(0x0A4D0001 + static_cast<uint32_t>(side));
    return address;
  }
  // A socket in `side`, bound to a fixed port: the namespace is the test's own.
  FileHandle bound(size_t side, int type, uint16_t port) {
    FileHandle made;
    inside(side, [&] { made = FileHandle(::socket(AF_INET, type | SOCK_CLOEXEC, 0)); });
    const sockaddr_in address = address_of(side, port);
    EXPECT_EQ(::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval limit{20, 0};
    ::setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return made;
  }
  // A TCP connection from side a to side b.
  std::pair<FileHandle, FileHandle> connection() {
    const FileHandle listener = bound(1, SOCK_STREAM, 7000);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    FileHandle near = bound(0, SOCK_STREAM, 7001);
    const sockaddr_in to = address_of(1, 7000);
    EXPECT_EQ(::connect(near.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    FileHandle far(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;
    for (const FileHandle* end : {&near, &far}) {
      ::setsockopt(end->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return {std::move(near), std::move(far)};
  }

  std::vector<Namespace> sides_;
  std::unique_ptr<TunRelay> relay_;
  std::thread thread_;
};

}  // namespace skarv::emulator
