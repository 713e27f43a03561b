#include "comm/lobby.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace skarv::comm {
namespace {

constexpr uint32_t kCall = 1, kTaken = 2;
// How often a wait looks whether it was cancelled.
constexpr Duration kSlice = std::chrono::milliseconds(50);

struct Call {
  int64_t incarnation = 0;
  int64_t rank = 0;
};

Result<Call> read_call(net::Connection& connection, Time deadline) {
  SKARV_ASSIGN(net::Message message, connection.receive(deadline));
  Call call;
  if (message.type != kCall || message.head.size() != sizeof call) {
    return Status(Code::kInvalidArgument, Scope::kPeer, "the dialer is no worker");
  }
  std::memcpy(&call, message.head.data(), sizeof call);
  return call;
}

Status cancelled_status() {
  return Status(Code::kCancelled, Scope::kPeer, "connecting to the island was given up");
}

}  // namespace

Result<std::unique_ptr<Lobby>> Lobby::open(std::shared_ptr<net::Transport> transport,
                                           const std::string& address, net::Options options) {
  SKARV_ASSIGN(auto listener, transport->listen(address, options));
  return std::unique_ptr<Lobby>(
      new Lobby(std::move(transport), std::move(listener), std::move(options)));
}

Result<std::unique_ptr<net::Connection>> Lobby::await(int rank, int64_t incarnation, Time deadline,
                                                      const std::atomic<bool>& cancelled) {
  std::erase_if(waiting_, [&](const auto& entry) { return entry.first.first < incarnation; });
  for (;;) {
    if (auto found = waiting_.find({incarnation, rank}); found != waiting_.end()) {
      std::unique_ptr<net::Connection> connection = std::move(found->second);
      waiting_.erase(found);
      SKARV_TRY(connection->send({.type = kTaken}, net::Lane::kControl, deadline));
      return connection;
    }
    if (cancelled) return cancelled_status();
    const Time now = Clock::real().now();
    if (now >= deadline) {
      return Status(Code::kDeadlineExceeded, Scope::kPeer,
                    cat("rank ", rank, " has not called for incarnation ", incarnation));
    }
    auto accepted = listener_->accept(std::min(deadline, now + kSlice));
    if (!accepted.ok()) {
      if (accepted.status().code() == Code::kDeadlineExceeded) continue;
      return accepted.status();
    }
    // A stranger or a peer that died while calling: it is dropped, the others are still awaited.
    auto call = read_call(**accepted, std::min(deadline, now + options_.detection_time));
    if (!call.ok() || call->incarnation < incarnation) continue;
    waiting_.insert_or_assign({call->incarnation, static_cast<int>(call->rank)},
                              std::move(accepted).value());
  }
}

Result<std::unique_ptr<net::Connection>> Lobby::dial(const std::string& address, int own_rank,
                                                     int64_t incarnation, Time deadline,
                                                     const std::atomic<bool>& cancelled) {
  SKARV_ASSIGN(auto connection, transport_->connect(address, options_, deadline));
  const Call call{incarnation, own_rank};
  std::string head(sizeof call, '\0');
  std::memcpy(head.data(), &call, sizeof call);
  SKARV_TRY(connection->send({.type = kCall, .head = head}, net::Lane::kControl, deadline));
  for (;;) {
    if (cancelled) return cancelled_status();
    auto answer = connection->receive(std::min(deadline, Clock::real().now() + kSlice));
    if (answer.ok()) {
      if (answer->type == kTaken) return connection;
      return Status(Code::kInvalidArgument, Scope::kPeer, cat(address, " is no worker"));
    }
    if (answer.status().code() != Code::kDeadlineExceeded || Clock::real().now() >= deadline) {
      return answer.status();
    }
  }
}

}  // namespace skarv::comm
