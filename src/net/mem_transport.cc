// mem: listeners known by port within one transport object.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "base/text.h"
#include "net/address.h"
#include "net/handshake.h"
#include "net/mem_connection.h"
#include "net/transport.h"

namespace skarv::net {
namespace {

constexpr size_t kMaxRefusals = 64;

struct MemPort {
  Options options;
  bool is_closed = false;
  std::deque<std::unique_ptr<Connection>> accepted;
  std::deque<Refusal> refusals;
};

struct Ports {
  std::mutex mutex;
  std::condition_variable change;
  std::map<uint16_t, std::shared_ptr<MemPort>> open;
};

// The same questions as on a socket, without packets.
Status check(const Options& listener, const Options& dialer) {
  const auto hello = [](const Options& options) {
    Hello hello;
    hello.run = options.run;
    hello.name = options.name;
    hello.num_streams = 2;
    return hello;
  };
  SKARV_TRY(check_hello(hello(listener), hello(dialer), listener.expected_peer));
  SKARV_TRY(check_hello(hello(dialer), hello(listener), dialer.expected_peer));
  if (!listener.token.empty() || !dialer.token.empty()) {
    if (!is_equal_proof(dialer.token, listener.token)) {
      return Status(Code::kPermissionDenied, Scope::kPeer,
                    cat("the run token of '", dialer.name, "' is another one"))
          .with_hint("give both ends the same token file");
    }
  }
  return {};
}

class MemListener : public Listener {
 public:
  MemListener(std::shared_ptr<Ports> ports, std::shared_ptr<MemPort> own, const Address& address)
      : ports_(std::move(ports)),
        own_(std::move(own)),
        port_(address.port),
        address_(address.text()) {}
  ~MemListener() override { MemListener::close(); }

  Result<std::unique_ptr<Connection>> accept(Deadline deadline) override {
    return take(own_->accepted, "connection", deadline);
  }
  Result<Refusal> next_refusal(Deadline deadline) override {
    return take(own_->refusals, "refusal", deadline);
  }
  uint16_t port() const override { return port_; }
  const std::string& address() const override { return address_; }
  void close() override {
    const std::scoped_lock lock(ports_->mutex);
    if (own_->is_closed) return;
    own_->is_closed = true;
    own_->accepted.clear();
    ports_->open.erase(port_);
    ports_->change.notify_all();
  }

 private:
  template <typename T>
  Result<T> take(std::deque<T>& queue, const char* what, Deadline deadline) {
    std::unique_lock lock(ports_->mutex);
    ports_->change.wait_until(lock, deadline, [&] { return !queue.empty() || own_->is_closed; });
    if (queue.empty()) {
      if (own_->is_closed) return Status(Code::kCancelled, Scope::kRun, "the listener is closed");
      return Status(Code::kDeadlineExceeded, Scope::kPeer, cat("no ", what, " came in time"));
    }
    T item = std::move(queue.front());
    queue.pop_front();
    return item;
  }

  const std::shared_ptr<Ports> ports_;
  const std::shared_ptr<MemPort> own_;
  const uint16_t port_;
  const std::string address_;
};

class MemTransport : public Transport {
 public:
  std::string_view name() const override { return "mem"; }

  Result<std::unique_ptr<Listener>> listen(const std::string& address,
                                           const Options& options) override {
    SKARV_ASSIGN(Address where, parse_address(address));
    const std::scoped_lock lock(ports_->mutex);
    if (where.port == 0) {
      where.port = 1;
      while (ports_->open.contains(where.port)) ++where.port;
    }
    auto own = std::make_shared<MemPort>(MemPort{.options = options});
    if (!ports_->open.emplace(where.port, own).second) {
      return io_error("cannot listen", address, EADDRINUSE);
    }
    return std::unique_ptr<Listener>(std::make_unique<MemListener>(ports_, std::move(own), where));
  }

  Result<std::unique_ptr<Connection>> connect(const std::string& address, const Options& options,
                                              Deadline /*deadline*/) override {
    SKARV_ASSIGN(const Address where, parse_address(address));
    const std::scoped_lock lock(ports_->mutex);
    const auto found = ports_->open.find(where.port);
    if (found == ports_->open.end()) {
      return Status(Code::kUnavailable, Scope::kPeer, "nobody listens there").at(address);
    }
    MemPort& port = *found->second;
    if (const Status status = check(port.options, options); !status.ok()) {
      if (port.refusals.size() == kMaxRefusals) port.refusals.pop_front();
      port.refusals.push_back({"mem", status});
      ports_->change.notify_all();
      return status.at(address);
    }
    auto [own, other] = make_mem_connection(
        {options.name, options.max_body_bytes, options.window_bytes},
        {port.options.name, port.options.max_body_bytes, port.options.window_bytes});
    port.accepted.push_back(std::move(other));
    ports_->change.notify_all();
    return std::move(own);
  }

 private:
  const std::shared_ptr<Ports> ports_ = std::make_shared<Ports>();
};

}  // namespace

std::shared_ptr<Transport> make_mem_transport() { return std::make_shared<MemTransport>(); }

std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>> make_mem_pair(
    const std::string& name_a, const std::string& name_b) {
  const Options defaults;
  return make_mem_connection({name_a, defaults.max_body_bytes, defaults.window_bytes},
                             {name_b, defaults.max_body_bytes, defaults.window_bytes});
}

}  // namespace skarv::net
