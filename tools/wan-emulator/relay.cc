#include "wan-emulator/relay.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace skarv::emulator {
namespace {

// Small, so that a sender soon feels the link instead of filling the kernel.
constexpr int kSocketBufferBytes = 512 << 10;

struct Resolved {
  sockaddr_storage address{};
  socklen_t length = 0;
};

Result<Resolved> resolve(const net::Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0)
    return config_error(cat("no such host: ", gai_strerror(error))).at(address.text());
  Resolved resolved;
  std::memcpy(&resolved.address, found->ai_addr, found->ai_addrlen);
  resolved.length = found->ai_addrlen;
  freeaddrinfo(found);
  return resolved;
}

void set_options(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kSocketBufferBytes, sizeof kSocketBufferBytes);
}

uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

}  // namespace

struct Relay::Connection {
  Connection(Link& link, Direction direction, FileHandle dialer_socket, FileHandle target_socket)
      : dialer(std::move(dialer_socket)),
        target(std::move(target_socket)),
        there(link, direction, dialer.get(), target.get()),
        back(link, direction == Direction::kA ? Direction::kB : Direction::kA, target.get(),
             dialer.get()) {}
  Pipe& pipe(Direction direction) { return there.direction() == direction ? there : back; }
  bool is_over() const {
    return has_failed || there.is_broken() || back.is_broken() ||
           (there.is_finished() && back.is_finished());
  }

  FileHandle dialer, target;
  Pipe there, back;
  bool is_connecting = true;  // to the target
  bool has_failed = false;
};

// What to wait for on a socket, and whom to tell.
struct Relay::Interest {
  pollfd poll;
  enum class What { kControl, kListener, kConnected, kRead, kWrite } what;
  size_t index = 0;
  Pipe* pipe = nullptr;
};

Relay::Relay(const LinkSettings& settings) : link_(settings) {}

Relay::~Relay() = default;

Status Relay::add(Forwarding forwarding) {
  SKARV_ASSIGN(const Resolved at, resolve(forwarding.listen));
  SKARV_TRY(resolve(forwarding.target).status());
  FileHandle listener(socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  set_options(listener.get());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&at.address), at.length) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return io_error("cannot listen", forwarding.listen.text(), errno);
  }
  forwarding.listen.port = port_of(listener.get());
  forwardings_.push_back(std::move(forwarding));
  listeners_.push_back(std::move(listener));
  return {};
}

void Relay::accept_dialer(size_t index) {
  FileHandle dialer(
      accept4(listeners_[index].get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!dialer) return;
  const Result<Resolved> at = resolve(forwardings_[index].target);
  if (!at.ok()) return;
  FileHandle target(socket(at->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!target) return;
  set_options(dialer.get());
  set_options(target.get());
  if (connect(target.get(), reinterpret_cast<const sockaddr*>(&at->address), at->length) != 0 &&
      errno != EINPROGRESS) {
    return;
  }
  connections_.push_back(std::make_unique<Connection>(link_, forwardings_[index].direction,
                                                      std::move(dialer), std::move(target)));
}

std::vector<Relay::Interest> Relay::interests(Time now, Time& wake_at) {
  using What = Interest::What;
  std::vector<Interest> wanted;
  wanted.push_back({{control_.fd(), POLLIN, 0}, What::kControl});
  for (size_t i = 0; i < listeners_.size(); ++i) {
    wanted.push_back({{listeners_[i].get(), POLLIN, 0}, What::kListener, i});
  }
  for (size_t i = 0; i < connections_.size(); ++i) {
    const Connection& connection = *connections_[i];
    if (connection.is_connecting) {
      wanted.push_back({{connection.target.get(), POLLOUT, 0}, What::kConnected, i});
    }
  }
  for (const Direction direction : {Direction::kA, Direction::kB}) {
    for (size_t turn = 0; turn < connections_.size(); ++turn) {
      const size_t i = (next_turn_[static_cast<size_t>(direction)] + turn) % connections_.size();
      if (connections_[i]->is_connecting) continue;
      Pipe& pipe = connections_[i]->pipe(direction);
      // A socket that nothing is wanted from is left out: poll reports its hang-up for ever.
      const Time read_at = pipe.wants_read_at(now);
      if (read_at <= now) {
        wanted.push_back({{pipe.source(), POLLIN, 0}, What::kRead, i, &pipe});
      } else {
        wake_at = std::min(wake_at, read_at);
      }
      if (pipe.is_blocked()) {
        wanted.push_back({{pipe.destination(), POLLOUT, 0}, What::kWrite, i, &pipe});
      }
      wake_at = std::min(wake_at, pipe.next_due());
    }
  }
  return wanted;
}

void Relay::drop_finished() {
  std::erase_if(connections_, [](const auto& connection) { return connection->is_over(); });
}

Status Relay::run() {
  using What = Interest::What;
  SKARV_TRY(control_.open());
  while (!control_.is_stopping()) {
    Time now = Clock::real().now();
    for (const auto& connection : connections_) {
      if (connection->is_connecting) continue;
      connection->there.deliver(now);
      connection->back.deliver(now);
    }
    drop_finished();
    Time wake_at = now + std::chrono::seconds(60);
    std::vector<Interest> wanted = interests(now, wake_at);
    std::vector<pollfd> polls;
    for (const Interest& interest : wanted) polls.push_back(interest.poll);
    const Duration wait = std::max<Duration>(wake_at - Clock::real().now(), Duration(0));
    const timespec timeout{static_cast<time_t>(wait / std::chrono::seconds(1)),
                           static_cast<long>((wait % std::chrono::seconds(1)).count())};
    if (ppoll(polls.data(), polls.size(), &timeout, nullptr) < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot wait for sockets", "relay", errno);
    }
    now = Clock::real().now();
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (polls[i].revents == 0) continue;
      Interest& interest = wanted[i];
      switch (interest.what) {
        case What::kControl:
          control_.serve();
          break;
        case What::kListener:
          accept_dialer(interest.index);
          break;
        case What::kConnected: {
          Connection& connection = *connections_[interest.index];
          int error = 0;
          socklen_t length = sizeof error;
          getsockopt(connection.target.get(), SOL_SOCKET, SO_ERROR, &error, &length);
          connection.is_connecting = false;
          connection.has_failed = error != 0;
          break;
        }
        case What::kWrite:
          interest.pipe->unblock();
          break;
        case What::kRead:
          // Whoever came before in this turn may have filled the link.
          if (interest.pipe->wants_read_at(now) > now) break;
          interest.pipe->read(now);
          next_turn_[static_cast<size_t>(interest.pipe->direction())] = interest.index + 1;
          break;
      }
    }
  }
  return {};
}

}  // namespace skarv::emulator
