// The blocking half of a session: what callers' threads do. The coroutines are in session_io.cc.
#include "net/session.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/text.h"

namespace skarv::net {
namespace {

constexpr uint64_t kControlWindowBytes = uint64_t{16} << 20;

size_t index_of(Lane lane) { return static_cast<size_t>(lane); }

}  // namespace

Session::Session(boost::asio::io_context& io, SessionConfig config,
                 std::vector<std::shared_ptr<Stream>> streams)
    : io_(io),
      config_(std::move(config)),
      streams_(std::move(streams)),
      beat_timer_(io),
      linger_timer_(io),
      grace_timer_(io),
      outboxes_{Outbox(Lane::kControl, kControlWindowBytes, kMaxPayloadBytes),
                Outbox(Lane::kBulk, config_.peer_window_bytes, kChunkBytes)},
      inboxes_{Inbox(Lane::kControl, kControlWindowBytes),
               Inbox(Lane::kBulk, config_.own_window_bytes)},
      heartbeat_(config_.detection_time, Clock::real().now()) {
  for (size_t i = 0; i < streams_.size(); ++i) {
    wakes_.emplace_back(io).expires_at(std::chrono::steady_clock::time_point::max());
  }
}

Status Session::about_peer(const Status& status) const {
  return status.wrap(cat("connection to '", config_.peer, "'"));
}

Status Session::send_error() const {
  if (!end_.ok()) return end_;
  if (is_closing_) {
    return about_peer(Status(Code::kCancelled, Scope::kLink, "being closed by this end"));
  }
  if (peer_final_) {
    return about_peer(Status(Code::kUnavailable, Scope::kPeer, "closed by the other end"));
  }
  return {};
}

Status Session::send(Message message, Lane lane, Deadline deadline) {
  const uint64_t max_body_bytes =
      lane == Lane::kControl ? std::min<uint64_t>(kMaxControlBodyBytes, config_.peer_max_body_bytes)
                             : config_.peer_max_body_bytes;
  if (message.head.size() > kMaxHeadBytes || message.body.size() > max_body_bytes) {
    return about_peer(Status(Code::kInvalidArgument, Scope::kLink,
                             cat("a message with a head of ", message.head.size(),
                                 " and a body of ", message.body.size(), " bytes is too large: ",
                                 kMaxHeadBytes, " and ", max_body_bytes, " are allowed")))
        .with_hint(lane == Lane::kControl ? "send it on the bulk lane" : "raise max_body_bytes");
  }
  {
    std::unique_lock lock(mutex_);
    Outbox& outbox = outboxes_[index_of(lane)];
    std::deque<uint64_t>& waiting = waiting_[index_of(lane)];
    const uint64_t ticket = next_ticket_++;
    const uint64_t message_bytes = message.head.size() + message.body.size();
    waiting.push_back(ticket);
    const bool in_time = room_.wait_until(lock, deadline, [&] {
      return !send_error().ok() || (waiting.front() == ticket && outbox.has_room(message_bytes));
    });
    std::erase(waiting, ticket);
    if (!waiting.empty()) room_.notify_all();
    SKARV_TRY(send_error());
    if (!in_time) {
      return about_peer(Status(
          Code::kDeadlineExceeded, Scope::kPeer,
          cat("no room to send for: the peer has not taken ", outbox.num_outstanding(), " bytes")));
    }
    outbox.push(std::move(message));
    ++num_sent_;
  }
  kick();
  return {};
}

Result<Message> Session::receive(Deadline deadline) {
  Message message;
  bool report = false;
  {
    std::unique_lock lock(mutex_);
    const auto ready = [&] { return inboxes_[0].ready() || inboxes_[1].ready(); };
    const bool in_time =
        arrival_.wait_until(lock, deadline, [&] { return ready() || is_closing_ || !end_.ok(); });
    if (is_closing_) {
      return end_.ok() ? about_peer(Status(Code::kCancelled, Scope::kLink, "closed by this end"))
                       : end_;
    }
    if (!ready()) {
      if (!end_.ok()) return end_;
      return about_peer(Status(Code::kDeadlineExceeded, Scope::kPeer,
                               in_time ? "nothing came" : "nothing came in time"));
    }
    const size_t lane = inboxes_[0].ready() ? 0 : 1;
    Inbox& inbox = inboxes_[lane];
    message = *inbox.pop();
    ++num_received_;
    // The heartbeat carries the totals anyway. Sooner only where the sender may be waiting: much is
    // taken, or everything is, which is what a message larger than the window waits for.
    const uint64_t window = lane == 0 ? kControlWindowBytes : config_.own_window_bytes;
    report = inbox.taken_bytes() - reported_taken_[lane] >= window / 8 ||
             (lane == 1 && inbox.num_held_bytes() == 0);
    if (report) want_report_ = true;
  }
  if (report) kick();
  return message;
}

Status Session::close(Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (is_closing_) return goodbye_taken_ ? Status() : end_;
  is_closing_ = true;
  room_.notify_all();
  arrival_.notify_all();
  Status outcome = end_;
  if (end_.ok()) {
    lock.unlock();
    kick();
    lock.lock();
    finished_.wait_until(lock, deadline, [&] {
      return !end_.ok() || (goodbye_taken_ && (!peer_final_ || goodbye_taken_sent_));
    });
    outcome = end_;
    if (!goodbye_taken_ && end_.ok()) {
      outcome = about_peer(Status(Code::kDeadlineExceeded, Scope::kPeer,
                                  "closing: the peer did not confirm that it holds everything"));
    }
  }
  // A peer that left in good order, and had taken all there was, leaves nothing to complain of.
  const bool is_complete = goodbye_taken_ || (peer_final_ && outboxes_[0].num_outstanding() == 0 &&
                                              outboxes_[1].num_outstanding() == 0);
  goodbye_taken_ = is_complete;
  end(about_peer(Status(Code::kCancelled, Scope::kLink, "closed by this end")));
  boost::asio::post(io_, [self = shared_from_this(), is_complete] {
    is_complete ? self->finish_streams() : self->close_streams();
  });
  return is_complete ? Status() : outcome;
}

void Session::abort() {
  const std::scoped_lock lock(mutex_);
  is_closing_ = true;
  end(about_peer(Status(Code::kCancelled, Scope::kLink, "aborted by this end")));
  // The last words of an orderly end are not cut off.
  const bool is_orderly = goodbye_taken_ || goodbye_taken_sent_;
  boost::asio::post(io_, [self = shared_from_this(), is_orderly] {
    is_orderly ? self->finish_streams() : self->close_streams();
  });
}

void Session::fail(Status status) {
  const std::scoped_lock lock(mutex_);
  end(std::move(status));
  boost::asio::post(io_, [self = shared_from_this()] { self->close_streams(); });
}

void Session::end(Status status) {
  if (end_.ok()) end_ = std::move(status);
  for (Outbox& outbox : outboxes_) outbox.clear();
  room_.notify_all();
  arrival_.notify_all();
  finished_.notify_all();
}

void Session::kick() {
  if (kicked_.exchange(true)) return;
  boost::asio::post(io_, [self = shared_from_this()] {
    self->kicked_ = false;
    self->wake_writers();
  });
}

Status Session::status() const {
  const std::scoped_lock lock(mutex_);
  return send_error();
}

LinkAttr Session::link() const {
  const std::scoped_lock lock(mutex_);
  return {.bandwidth_out = bandwidth_out_,
          .bandwidth_in = arrival_meter_.bytes_per_second(),
          .round_trip = round_trip_.seconds(),
          .num_streams = static_cast<int>(streams_.size()) - 1};
}

Traffic Session::traffic() const {
  Traffic traffic;
  for (const auto& stream : streams_) {
    traffic.plain_bytes_sent += stream->counts().plain_sent;
    traffic.plain_bytes_received += stream->counts().plain_received;
    traffic.wire_bytes_sent += stream->counts().wire_sent;
    traffic.wire_bytes_received += stream->counts().wire_received;
  }
  const std::scoped_lock lock(mutex_);
  traffic.num_messages_sent = num_sent_;
  traffic.num_messages_received = num_received_;
  return traffic;
}

PeerProgress Session::peer_progress() const {
  const std::scoped_lock lock(mutex_);
  return peer_progress_;
}

}  // namespace skarv::net
