#include "net/mem_connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/text.h"
#include "net/frame.h"

namespace skarv::net {
namespace {

constexpr uint64_t kControlWindowBytes = uint64_t{16} << 20;

uint64_t cost_of(const Message& message) {
  return window_cost(message.head.size() + message.body.size());
}

// What one end sends and the other receives.
struct Direction {
  std::array<std::deque<Message>, 2> queues;  // by lane
  std::array<uint64_t, 2> num_held_bytes{};
  std::array<std::deque<uint64_t>, 2> waiting;  // tickets of blocked senders
  int64_t num_messages_sent = 0, num_messages_received = 0;
  int64_t bytes_sent = 0, bytes_received = 0;
  PeerProgress progress;
};

struct Link {
  std::mutex mutex;
  std::condition_variable change;
  std::array<Direction, 2> directions;  // [i]: sent by end i
  std::array<Status, 2> end;            // [i]: why end i is over; ok while it is not
  uint64_t next_ticket = 0;
};

class MemConnection : public Connection {
 public:
  MemConnection(std::shared_ptr<Link> link, size_t side, MemEnd own, MemEnd peer)
      : link_(std::move(link)), side_(side), own_(std::move(own)), peer_(std::move(peer)) {}
  ~MemConnection() override { leave("aborted by this end", "lost without a goodbye"); }

  Status send(Message message, Lane lane, Deadline deadline) override {
    const size_t index = static_cast<size_t>(lane);
    const size_t max_body_bytes = lane == Lane::kControl
                                      ? std::min(kMaxControlBodyBytes, peer_.max_body_bytes)
                                      : peer_.max_body_bytes;
    if (message.head.size() > kMaxHeadBytes || message.body.size() > max_body_bytes) {
      return about_peer(Code::kInvalidArgument,
                        cat("a message with a head of ", message.head.size(), " and a body of ",
                            message.body.size(), " bytes is too large"));
    }
    const uint64_t window = lane == Lane::kControl ? kControlWindowBytes : peer_.window_bytes;
    const uint64_t cost = cost_of(message);
    std::unique_lock lock(link_->mutex);
    Direction& out = link_->directions[side_];
    std::deque<uint64_t>& waiting = out.waiting[index];
    const uint64_t ticket = link_->next_ticket++;
    waiting.push_back(ticket);
    const bool in_time = link_->change.wait_until(lock, deadline, [&] {
      const uint64_t held = out.num_held_bytes[index];
      return !own_end().ok() || (waiting.front() == ticket && (held == 0 || held + cost <= window));
    });
    std::erase(waiting, ticket);
    link_->change.notify_all();
    SKARV_TRY(own_end());
    if (!in_time) return about_peer(Code::kDeadlineExceeded, "no room to send");
    out.queues[index].push_back(std::move(message));
    out.num_held_bytes[index] += cost;
    ++out.num_messages_sent;
    out.bytes_sent += static_cast<int64_t>(cost);
    return {};
  }

  Result<Message> receive(Deadline deadline) override {
    std::unique_lock lock(link_->mutex);
    Direction& in = link_->directions[1 - side_];
    const auto ready = [&] { return !in.queues[0].empty() || !in.queues[1].empty(); };
    link_->change.wait_until(lock, deadline, [&] { return ready() || !own_end().ok(); });
    if (has_left_) return own_end();
    if (!ready()) {
      return own_end().ok() ? about_peer(Code::kDeadlineExceeded, "nothing came in time")
                            : own_end();
    }
    const size_t index = in.queues[0].empty() ? 1 : 0;
    Message message = std::move(in.queues[index].front());
    in.queues[index].pop_front();
    in.num_held_bytes[index] -= cost_of(message);
    ++in.num_messages_received;
    in.bytes_received += static_cast<int64_t>(cost_of(message));
    link_->change.notify_all();
    return message;
  }

  // The peer holds all there is from the start.
  Status close(Deadline /*deadline*/) override {
    leave("closed by this end", "closed by the other end");
    return {};
  }

  const std::string& peer() const override { return peer_.name; }
  Status status() const override {
    const std::scoped_lock lock(link_->mutex);
    return link_->end[side_];
  }
  LinkAttr link() const override { return {.num_streams = 1}; }
  Traffic traffic() const override {
    const std::scoped_lock lock(link_->mutex);
    const Direction& out = link_->directions[side_];
    const Direction& in = link_->directions[1 - side_];
    return {.num_messages_sent = out.num_messages_sent,
            .num_messages_received = in.num_messages_received,
            .plain_bytes_sent = out.bytes_sent,
            .plain_bytes_received = in.bytes_received,
            .wire_bytes_sent = out.bytes_sent,
            .wire_bytes_received = in.bytes_received};
  }
  void set_progress(uint64_t number) override {
    const std::scoped_lock lock(link_->mutex);
    PeerProgress& progress = link_->directions[side_].progress;
    if (number != progress.number) progress = {number, Clock::real().now()};
  }
  PeerProgress peer_progress() const override {
    const std::scoped_lock lock(link_->mutex);
    return link_->directions[1 - side_].progress;
  }

 private:
  const Status& own_end() const { return link_->end[side_]; }

  Status about_peer(Code code, const std::string& what) const {
    return Status(code, Scope::kPeer, cat("connection to '", peer_.name, "': ", what));
  }

  // The first reason of an end stays.
  void leave(const char* own_reason, const char* peer_reason) {
    const std::scoped_lock lock(link_->mutex);
    if (has_left_) return;
    has_left_ = true;
    Status& own = link_->end[side_];
    Status& other = link_->end[1 - side_];
    if (own.ok()) own = about_peer(Code::kCancelled, own_reason);
    if (other.ok()) {
      other = Status(Code::kUnavailable, Scope::kPeer,
                     cat("connection to '", own_.name, "': ", peer_reason));
    }
    link_->change.notify_all();
  }

  const std::shared_ptr<Link> link_;
  const size_t side_;
  const MemEnd own_, peer_;
  bool has_left_ = false;
};

}  // namespace

std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>> make_mem_connection(
    const MemEnd& a, const MemEnd& b) {
  auto link = std::make_shared<Link>();
  return {std::make_unique<MemConnection>(link, 0, a, b),
          std::make_unique<MemConnection>(link, 1, b, a)};
}

}  // namespace skarv::net
