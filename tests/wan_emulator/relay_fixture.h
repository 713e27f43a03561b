// A relay in a thread, and what is needed to send bytes through it.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <thread>

#include "wan-emulator/relay.h"

namespace skarv::emulator {

using namespace std::chrono_literals;  // NOLINT: tests only

inline LinkSettings settings_of(const std::vector<std::string>& assignments) {
  LinkSettings settings;
  for (const std::string& assignment : assignments) {
    EXPECT_TRUE(apply_setting(assignment, settings).ok()) << assignment;
  }
  return settings;
}

class RunningRelay {
 public:
  RunningRelay(const LinkSettings& settings, uint16_t target_port) : relay_(settings) {
    const Status added = relay_.add({{"127.0.0.1", 0}, {"127.0.0.1", target_port}});
    EXPECT_TRUE(added.ok()) << added;
    thread_ = std::thread([this] {
      const Status status = relay_.run();
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  ~RunningRelay() {
    relay_.stop();
    thread_.join();
  }
  uint16_t port() const { return relay_.forwardings()[0].listen.port; }
  std::string address() const { return relay_.forwardings()[0].listen.text(); }
  Json execute(const std::string& line) { return Json::parse(relay_.execute(line)); }

 private:
  Relay relay_;
  std::thread thread_;
};

inline FileHandle listen_anywhere(uint16_t& port) {
  FileHandle listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::listen(listener.get(), 16), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return listener;
}

inline FileHandle dial(uint16_t port) {
  FileHandle dialer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(dialer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const int on = 1;
  ::setsockopt(dialer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return dialer;
}

// Two ends of a connection through `relay` to `listener`.
struct Path {
  Path(const RunningRelay& relay, const FileHandle& listener)
      : near(dial(relay.port())), far(::accept(listener.get(), nullptr, nullptr)) {
    const int on = 1;
    ::setsockopt(far.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  FileHandle near, far;
};

inline void send_all(const FileHandle& socket, size_t num_bytes) {
  const std::string bytes(size_t{64} << 10, 'x');
  while (num_bytes > 0) {
    const ssize_t sent =
        ::send(socket.get(), bytes.data(), std::min(bytes.size(), num_bytes), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0);
    num_bytes -= static_cast<size_t>(sent);
  }
}

inline size_t receive_some(const FileHandle& socket, size_t max_bytes) {
  std::string bytes(std::min(max_bytes, size_t{256} << 10), '\0');
  const ssize_t size = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

}  // namespace skarv::emulator
