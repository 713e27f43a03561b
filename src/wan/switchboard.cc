#include "wan/switchboard.h"

#include "base/text.h"

namespace skarv::wan {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(200);  // how soon a stop is seen
constexpr auto kRedial = std::chrono::milliseconds(300);
constexpr auto kClose = std::chrono::milliseconds(500);

void add(net::Traffic& sum, const net::Traffic& part) {
  sum.num_messages_sent += part.num_messages_sent;
  sum.num_messages_received += part.num_messages_received;
  sum.plain_bytes_sent += part.plain_bytes_sent;
  sum.plain_bytes_received += part.plain_bytes_received;
  sum.wire_bytes_sent += part.wire_bytes_sent;
  sum.wire_bytes_received += part.wire_bytes_received;
}

}  // namespace

Switchboard::Switchboard(std::shared_ptr<net::Transport> transport, net::Options options,
                         Callbacks callbacks)
    : transport_(std::move(transport)),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)) {}

Status Switchboard::listen(const std::string& address) {
  SKARV_ASSIGN(listener_, transport_->listen(address, options_));
  address_ = listener_->address();
  acceptor_ = std::thread([this] { accept_all(); });
  return Status();
}

void Switchboard::accept_all() {
  while (!stopping_) {
    auto accepted = listener_->accept(net::deadline_in(kPoll));
    if (!accepted.ok()) {
      if (accepted.status().code() == Code::kCancelled) return;
      continue;
    }
    std::shared_ptr<net::Connection> connection = std::move(*accepted);
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    readers_.emplace_back([this, connection] { read(connection->peer(), connection); });
  }
}

void Switchboard::dial(const std::string& peer, const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  const bool fresh = !dialled_.contains(peer);
  dialled_[peer].address = address;
  if (fresh) dialled_[peer].thread = std::thread([this, peer] { keep_dialled(peer); });
}

void Switchboard::keep_dialled(const std::string& peer) {
  while (!stopping_) {
    net::Options options = options_;
    options.expected_peer = peer;
    std::string address;
    {
      const std::lock_guard lock(mutex_);
      address = dialled_.at(peer).address;
    }
    auto connection =
        transport_->connect(address, options, net::deadline_in(options.detection_time));
    if (connection.ok()) {
      read(peer, std::move(*connection));
    } else if (!stopping_) {
      callbacks_.lost(peer, connection.status());
    }
    const Time again = Clock::real().now() + kRedial;
    while (!stopping_ && Clock::real().now() < again) {
      Clock::real().sleep_until(std::min(again, Clock::real().now() + Duration(kPoll) / 4));
    }
  }
}

void Switchboard::read(const std::string& peer,
                       const std::shared_ptr<net::Connection>& connection) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    connections_[peer] = connection;  // a newer connection of the same peer replaces an older one
  }
  callbacks_.connected(peer);
  Status why;
  while (!stopping_) {
    auto message = connection->receive(net::deadline_in(kPoll));
    if (message.ok()) {
      callbacks_.received(peer, std::move(*message));
    } else if (message.status().code() != Code::kDeadlineExceeded || !connection->status().ok()) {
      why = message.status();
      break;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    add(past_, connection->traffic());
    const auto found = connections_.find(peer);
    if (found != connections_.end() && found->second == connection) connections_.erase(found);
  }
  if (stopping_) {
    (void)connection->close(net::deadline_in(kClose));
  } else {
    callbacks_.lost(peer, why);
  }
}

bool Switchboard::send(const std::string& peer, net::Message message, net::Lane lane) {
  std::shared_ptr<net::Connection> connection;
  {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(peer);
    if (found == connections_.end()) return false;
    connection = found->second;
  }
  return connection->send(std::move(message), lane, net::no_waiting()).ok();
}

net::Traffic Switchboard::traffic() const {
  const std::lock_guard lock(mutex_);
  net::Traffic sum = past_;
  for (const auto& [peer, connection] : connections_) add(sum, connection->traffic());
  return sum;
}

int64_t Switchboard::received_from(const std::string& peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(peer);
  return found == connections_.end() ? 0 : found->second->traffic().plain_bytes_received;
}

void Switchboard::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.exchange(true)) return;
    for (auto& [peer, dialled] : dialled_) threads.push_back(std::move(dialled.thread));
    for (std::thread& reader : readers_) threads.push_back(std::move(reader));
  }
  if (listener_) listener_->close();
  if (acceptor_.joinable()) acceptor_.join();
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace skarv::wan
