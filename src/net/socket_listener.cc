#include "net/socket_listener.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <set>

#include "base/text.h"
#include "net/address.h"
#include "net/greeting.h"

namespace skarv::net {
namespace asio = boost::asio;
using asio::ip::tcp;
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr size_t kMaxRefusals = 64;
constexpr size_t kMaxHandshakes = 256;  // at once; more dialers wait in the kernel's queue or fail
constexpr size_t kMaxForming = 256;     // connections of which some streams are there

// Lives as long as the listener or any of its coroutines. Members up to the mutex belong to the io
// thread.
class ListenerCore : public std::enable_shared_from_this<ListenerCore> {
 public:
  ListenerCore(Runtime& runtime, std::shared_ptr<StreamFactory> factory, const Options& options)
      : io_(runtime.io()),
        factory_(std::move(factory)),
        options_(options),
        acceptor_(io_),
        pause_(io_) {}

  Status open(const tcp::endpoint& endpoint) {
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return io_error("cannot listen", to_text(endpoint), error.value());
    return {};
  }
  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

  void start() { asio::co_spawn(io_, accept_loop(shared_from_this()), asio::detached); }

  void close() {
    {
      const std::scoped_lock lock(mutex_);
      if (is_closed_) return;
      is_closed_ = true;
      accepted_.clear();
      change_.notify_all();
    }
    asio::post(io_, [self = shared_from_this()] {
      boost::system::error_code ignored;
      self->acceptor_.close(ignored);
      self->pause_.cancel();
      for (auto& [key, forming] : self->forming_) forming.limit->cancel();
      self->forming_.clear();
      for (const auto& stream : self->greeting_) stream->close();
    });
  }

  template <typename T>
  Result<T> take(std::deque<T>& queue, const char* what, Deadline deadline) {
    std::unique_lock lock(mutex_);
    change_.wait_until(lock, deadline, [&] { return !queue.empty() || is_closed_; });
    if (!queue.empty()) {
      T item = std::move(queue.front());
      queue.pop_front();
      return item;
    }
    if (is_closed_) return Status(Code::kCancelled, Scope::kRun, "the listener is closed");
    return Status(Code::kDeadlineExceeded, Scope::kPeer, cat("no ", what, " came in time"));
  }
  std::deque<std::shared_ptr<Session>>& accepted() { return accepted_; }
  std::deque<Refusal>& refusals() { return refusals_; }

 private:
  using Self = std::shared_ptr<ListenerCore>;
  using Key = std::pair<std::string, SessionId>;
  struct Forming {
    std::vector<std::shared_ptr<Stream>> streams;
    size_t num_missing = 0;
    std::string dialer;
    std::shared_ptr<asio::steady_timer> limit;
  };

  asio::awaitable<void> accept_loop(Self self) {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(kNoThrow);
      if (!error && greeting_.size() < kMaxHandshakes) {
        asio::co_spawn(io_, handshake(self, std::move(socket)), asio::detached);
      } else if (acceptor_.is_open()) {
        if (error) refused("?", Status(Code::kResourceExhausted, Scope::kRun, error.message()));
        // No descriptors, or a flood of dialers: give what is under way time to end.
        pause_.expires_after(std::chrono::milliseconds(50));
        co_await pause_.async_wait(kNoThrow);
      }
    }
  }

  asio::awaitable<void> handshake(Self /*self*/, tcp::socket socket) {
    boost::system::error_code error;
    const std::string dialer = to_text(socket.remote_endpoint(error));
    if (error) co_return;
    set_socket_options(socket, options_.detection_time);
    const std::shared_ptr<Stream> stream = factory_->make(std::move(socket), false);
    auto is_late = std::make_shared<bool>(false);
    asio::steady_timer limit(io_, options_.detection_time);
    limit.async_wait([stream, is_late](boost::system::error_code cancelled) {
      if (cancelled) return;
      *is_late = true;
      stream->close();
    });
    greeting_.insert(stream);
    Hello own = make_hello(*factory_, options_);
    Status status = fill_random(own.nonce.data(), own.nonce.size());
    if (status.ok()) {
      const GreetingConfig config{options_.token, options_.expected_peer};
      const Result<Hello> peer = co_await greet(*stream, Side::kListener, own, config);
      status = peer.ok() ? attach(*peer, stream, dialer) : peer.status();
    }
    greeting_.erase(stream);
    limit.cancel();
    if (status.ok()) co_return;
    stream->close();
    if (*is_late) {
      status = Status(Code::kDeadlineExceeded, Scope::kPeer,
                      cat("the dialer's handshake took more than ",
                          human_seconds(to_seconds(options_.detection_time))));
    }
    refused(dialer, status);
  }

  // The stream is who it says it is; with its last stream the connection is made.
  Status attach(const Hello& peer, std::shared_ptr<Stream> stream, const std::string& dialer) {
    const Key key{peer.name, peer.session};
    auto found = forming_.find(key);
    if (found == forming_.end()) {
      if (forming_.size() >= kMaxForming) {
        return Status(Code::kResourceExhausted, Scope::kPeer, "too many unfinished connections");
      }
      found = forming_.emplace(key, Forming{}).first;
      found->second.streams.resize(peer.num_streams);
      found->second.num_missing = peer.num_streams;
      found->second.dialer = dialer;
      found->second.limit = std::make_shared<asio::steady_timer>(io_, options_.detection_time);
      asio::co_spawn(io_, expire(shared_from_this(), key, found->second.limit), asio::detached);
    }
    Forming& forming = found->second;
    if (peer.num_streams != forming.streams.size() || forming.streams[peer.stream]) {
      return Status(Code::kInvalidArgument, Scope::kPeer,
                    cat("stream ", peer.stream, " of '", peer.name, "' comes twice"));
    }
    forming.streams[peer.stream] = std::move(stream);
    if (--forming.num_missing > 0) return {};
    auto session = std::make_shared<Session>(io_, make_session_config(options_, peer),
                                             std::move(forming.streams));
    found->second.limit->cancel();
    forming_.erase(found);
    session->start();
    const std::scoped_lock lock(mutex_);
    if (is_closed_) {
      session->abort();
      return {};
    }
    accepted_.push_back(std::move(session));
    change_.notify_all();
    return {};
  }

  asio::awaitable<void> expire(Self /*self*/, Key key, std::shared_ptr<asio::steady_timer> limit) {
    const auto [cancelled] = co_await limit->async_wait(kNoThrow);
    const auto found = forming_.find(key);
    if (cancelled || found == forming_.end() || found->second.limit != limit) co_return;
    refused(found->second.dialer,
            Status(Code::kDeadlineExceeded, Scope::kPeer,
                   cat(found->second.num_missing, " of ", found->second.streams.size(),
                       " streams of '", key.first, "' did not come")));
    forming_.erase(found);
  }

  void refused(std::string dialer, Status reason) {
    const std::scoped_lock lock(mutex_);
    if (refusals_.size() == kMaxRefusals) refusals_.pop_front();
    refusals_.push_back({std::move(dialer), std::move(reason)});
    change_.notify_all();
  }

  asio::io_context& io_;
  const std::shared_ptr<StreamFactory> factory_;
  const Options options_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::set<std::shared_ptr<Stream>> greeting_;  // in their handshake
  std::map<Key, Forming> forming_;

  std::mutex mutex_;
  std::condition_variable change_;
  bool is_closed_ = false;
  std::deque<std::shared_ptr<Session>> accepted_;
  std::deque<Refusal> refusals_;
};

class SocketListener : public Listener {
 public:
  SocketListener(std::shared_ptr<Runtime> runtime, std::shared_ptr<ListenerCore> core)
      : runtime_(std::move(runtime)),
        core_(std::move(core)),
        port_(core_->endpoint().port()),
        address_(to_text(core_->endpoint())) {}
  ~SocketListener() override { core_->close(); }

  Result<std::unique_ptr<Connection>> accept(Deadline deadline) override {
    SKARV_ASSIGN(auto session, core_->take(core_->accepted(), "connection", deadline));
    return make_connection(runtime_, std::move(session));
  }
  Result<Refusal> next_refusal(Deadline deadline) override {
    return core_->take(core_->refusals(), "refusal", deadline);
  }
  uint16_t port() const override { return port_; }
  const std::string& address() const override { return address_; }
  void close() override { core_->close(); }

 private:
  const std::shared_ptr<Runtime> runtime_;
  const std::shared_ptr<ListenerCore> core_;
  const uint16_t port_;
  const std::string address_;
};

}  // namespace

Result<std::unique_ptr<Listener>> listen_on(std::shared_ptr<Runtime> runtime,
                                            std::shared_ptr<StreamFactory> factory,
                                            const std::string& address, const Options& options) {
  SKARV_TRY(check_options(options));
  SKARV_ASSIGN(const Address where, parse_address(address));
  boost::system::error_code error;
  tcp::resolver resolver(runtime->io());
  const auto found =
      resolver.resolve(where.host, std::to_string(where.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return config_error(cat("no such host: ", error.message())).at(address);
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  SKARV_TRY(check_reach(*factory, endpoint.address()));
  auto core = std::make_shared<ListenerCore>(*runtime, std::move(factory), options);
  SKARV_TRY(core->open(endpoint));
  core->start();
  return std::unique_ptr<Listener>(
      std::make_unique<SocketListener>(std::move(runtime), std::move(core)));
}

}  // namespace skarv::net
