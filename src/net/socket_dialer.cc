#include "net/socket_dialer.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/text.h"
#include "net/address.h"
#include "net/greeting.h"

namespace skarv::net {
namespace asio = boost::asio;
using asio::ip::tcp;
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

// One try. The caller waits for its outcome until the deadline, then abandons it; the coroutines
// keep it alive until they have noticed.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(Runtime& runtime, std::shared_ptr<StreamFactory> factory, Address address,
          const Options& options)
      : io_(runtime.io()),
        factory_(std::move(factory)),
        address_(std::move(address)),
        options_(options),
        resolver_(io_) {}

  Result<std::shared_ptr<Session>> wait(Deadline deadline) {
    asio::post(io_, [self = shared_from_this()] {
      asio::co_spawn(self->io_, self->run(self), asio::detached);
    });
    std::unique_lock lock(mutex_);
    done_.wait_until(lock, deadline, [&] { return outcome_.has_value(); });
    if (outcome_) return *std::move(outcome_);
    is_abandoned_ = true;
    asio::post(io_, [self = shared_from_this()] { self->stop(); });
    return Status(Code::kDeadlineExceeded, Scope::kPeer, cat("no connection in time: ", stage_))
        .at(address_.text())
        .with_hint("check that the listener runs and that no firewall is in between");
  }

 private:
  using Self = std::shared_ptr<Attempt>;

  asio::awaitable<void> run(Self self) {
    auto [error, found] = co_await resolver_.async_resolve(
        address_.host, std::to_string(address_.port), tcp::resolver::numeric_service, kNoThrow);
    if (error) {
      finish(Status(Code::kUnavailable, Scope::kPeer, cat("no such host: ", error.message())));
      co_return;
    }
    Hello own = make_hello(*factory_, options_);
    if (Status status = fill_random(own.session.data(), own.session.size()); !status.ok()) {
      finish(status);
      co_return;
    }
    streams_.resize(own.num_streams);
    num_missing_ = own.num_streams;
    asio::co_spawn(io_, open(self, own, found), asio::detached);
  }

  asio::awaitable<void> open(Self self, Hello own, tcp::resolver::results_type found) {
    say("waiting for the host to answer");
    sockets_.push_back(std::make_shared<tcp::socket>(io_));
    const std::shared_ptr<tcp::socket> socket = sockets_.back();
    Status reach;
    tcp::endpoint endpoint;
    boost::system::error_code error = asio::error::host_not_found;
    for (const auto& entry : found) {
      endpoint = entry.endpoint();
      reach = check_reach(*factory_, endpoint.address());
      if (!reach.ok()) continue;
      boost::system::error_code ignored;
      socket->close(ignored);
      std::tie(error) = co_await socket->async_connect(endpoint, kNoThrow);
      if (!error || is_finished_) break;
    }
    if (error) {
      finish(!reach.ok() ? reach
                         : Status(Code::kUnavailable, Scope::kPeer,
                                  cat("nobody listens there: ", error.message()))
                               .with_hint("start the listener first; check host and port"));
      co_return;
    }
    set_socket_options(*socket, options_.detection_time);
    const std::shared_ptr<Stream> stream = factory_->make(std::move(*socket), true);
    streams_[own.stream] = stream;
    if (is_finished_) {
      stream->close();
      co_return;
    }
    say("waiting for the listener's handshake");
    Status status = fill_random(own.nonce.data(), own.nonce.size());
    if (status.ok()) {
      const GreetingConfig config{options_.token, options_.expected_peer};
      const Result<Hello> peer = co_await greet(*stream, Side::kDialer, own, config);
      status = peer.status();
      if (status.ok() && own.stream == 0) peer_ = *peer;
    }
    if (!status.ok()) {
      finish(status);
      co_return;
    }
    if (own.stream == 0) {
      // A bad dialer is refused once; a good one opens the rest together, however many they are.
      for (uint16_t index = 1; index < own.num_streams; ++index) {
        own.stream = index;
        asio::co_spawn(io_, open(self, own, found), asio::detached);
      }
    }
    if (--num_missing_ == 0) {
      finish(Status());
    }
  }

  // The first failure, or the last success.
  void finish(Status status) {
    if (is_finished_) return;
    is_finished_ = true;
    const std::scoped_lock lock(mutex_);
    if (status.ok() && !is_abandoned_) {
      auto session =
          std::make_shared<Session>(io_, make_session_config(options_, peer_), std::move(streams_));
      session->start();
      outcome_ = std::move(session);
    } else {
      if (!status.ok()) outcome_ = status.at(address_.text());
      close_all();
    }
    done_.notify_all();
  }

  void stop() {
    resolver_.cancel();
    if (is_finished_) {
      // It came about after all, too late: nobody will take it.
      const std::scoped_lock lock(mutex_);
      if (outcome_ && outcome_->ok()) (**outcome_)->abort();
      return;
    }
    is_finished_ = true;
    close_all();
  }

  void close_all() {
    boost::system::error_code ignored;
    for (const auto& socket : sockets_) socket->close(ignored);
    for (const auto& stream : streams_) {
      if (stream) stream->close();
    }
  }

  void say(const char* stage) {
    const std::scoped_lock lock(mutex_);
    stage_ = stage;
  }

  asio::io_context& io_;
  const std::shared_ptr<StreamFactory> factory_;
  const Address address_;
  const Options options_;
  // Of the io thread.
  tcp::resolver resolver_;
  std::vector<std::shared_ptr<tcp::socket>> sockets_;  // being connected; then moved into streams
  std::vector<std::shared_ptr<Stream>> streams_;
  Hello peer_;
  size_t num_missing_ = 0;
  bool is_finished_ = false;

  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<Result<std::shared_ptr<Session>>> outcome_;
  bool is_abandoned_ = false;
  const char* stage_ = "looking up the host";
};

}  // namespace

Result<std::unique_ptr<Connection>> dial(std::shared_ptr<Runtime> runtime,
                                         std::shared_ptr<StreamFactory> factory,
                                         const std::string& address, const Options& options,
                                         Deadline deadline) {
  SKARV_TRY(check_options(options));
  SKARV_ASSIGN(Address where, parse_address(address));
  const auto attempt =
      std::make_shared<Attempt>(*runtime, std::move(factory), std::move(where), options);
  SKARV_ASSIGN(auto session, attempt->wait(deadline));
  return make_connection(std::move(runtime), std::move(session));
}

}  // namespace skarv::net
