#include "net/socket_options.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/text.h"
#include "net/address.h"

namespace skarv::net {
namespace asio = boost::asio;
namespace {

class SocketConnection : public Connection {
 public:
  SocketConnection(std::shared_ptr<Runtime> runtime, std::shared_ptr<Session> session)
      : runtime_(std::move(runtime)), session_(std::move(session)) {}
  ~SocketConnection() override { session_->abort(); }

  Status send(Message message, Lane lane, Deadline deadline) override {
    return session_->send(std::move(message), lane, deadline);
  }
  Result<Message> receive(Deadline deadline) override { return session_->receive(deadline); }
  Status close(Deadline deadline) override { return session_->close(deadline); }
  const std::string& peer() const override { return session_->peer(); }
  Status status() const override { return session_->status(); }
  LinkAttr link() const override { return session_->link(); }
  Traffic traffic() const override { return session_->traffic(); }
  void set_progress(uint64_t number) override { session_->set_progress(number); }
  PeerProgress peer_progress() const override { return session_->peer_progress(); }

 private:
  const std::shared_ptr<Runtime> runtime_;  // outlives the session
  const std::shared_ptr<Session> session_;
};

}  // namespace

Status check_options(const Options& options) {
  if (options.num_bulk_streams < 1 || options.num_bulk_streams > 16) {
    return config_error(cat("num_bulk_streams is ", options.num_bulk_streams))
        .with_hint("take a number from 1 to 16");
  }
  if (options.detection_time < std::chrono::milliseconds(10)) {
    return config_error(
               cat("detection_time is ", human_seconds(to_seconds(options.detection_time))))
        .with_hint("take several round trips, at least 10 ms");
  }
  if (options.window_bytes < kChunkBytes) {
    return config_error(cat("window_bytes is ", options.window_bytes))
        .with_hint(cat("take at least ", kChunkBytes));
  }
  return {};
}

Status check_reach(const StreamFactory& factory, const asio::ip::address& address) {
  if (factory.is_secure() || address.is_loopback()) return {};
  return config_error(cat(address.to_string(),
                          " is not a loopback address, and plain tcp is for "
                          "one machine only"))
      .with_hint("use tls, with certificates by skarv cert");
}

void set_socket_options(asio::ip::tcp::socket& socket, Duration detection_time) {
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  const unsigned int milliseconds =
      static_cast<unsigned int>(2 * detection_time / std::chrono::milliseconds(1));
  setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds,
             sizeof milliseconds);
}

Hello make_hello(const StreamFactory& factory, const Options& options) {
  Hello hello;
  hello.run = options.run;
  hello.name = factory.is_secure() ? factory.own_name() : options.name;
  hello.num_streams = static_cast<uint16_t>(1 + options.num_bulk_streams);
  hello.max_body_bytes = options.max_body_bytes;
  hello.window_bytes = options.window_bytes;
  return hello;
}

SessionConfig make_session_config(const Options& options, const Hello& peer) {
  return {.peer = peer.name,
          .own_window_bytes = options.window_bytes,
          .peer_window_bytes = peer.window_bytes,
          .own_max_body_bytes = options.max_body_bytes,
          .peer_max_body_bytes = peer.max_body_bytes,
          .detection_time = options.detection_time};
}

std::unique_ptr<Connection> make_connection(std::shared_ptr<Runtime> runtime,
                                            std::shared_ptr<Session> session) {
  return std::make_unique<SocketConnection>(std::move(runtime), std::move(session));
}

std::string to_text(const asio::ip::tcp::endpoint& endpoint) {
  return Address{endpoint.address().to_string(), endpoint.port()}.text();
}

}  // namespace skarv::net
