// One connection over sockets, after its handshake: writers and readers of all its streams, the
// heartbeat, the goodbye. The coroutines run in the transport's one thread; the blocking calls of
// any thread meet them under one mutex. Includes asio: for .cc files of this room only.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "net/connection.h"
#include "net/heartbeat.h"
#include "net/inbox.h"
#include "net/link_meter.h"
#include "net/outbox.h"
#include "net/stream.h"

namespace skarv::net {

struct SessionConfig {
  std::string peer;
  uint64_t own_window_bytes = 0, peer_window_bytes = 0;
  uint64_t own_max_body_bytes = 0, peer_max_body_bytes = 0;
  Duration detection_time{};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `streams`: 0 is control, the others bulk; all past their handshake.
  Session(boost::asio::io_context& io, SessionConfig config,
          std::vector<std::shared_ptr<Stream>> streams);

  // In the io thread, once: starts the coroutines, each of which keeps the session alive.
  void start();

  // Any thread: what Connection says.
  Status send(Message message, Lane lane, Deadline deadline);
  Result<Message> receive(Deadline deadline);
  Status close(Deadline deadline);
  void abort();
  Status status() const;
  LinkAttr link() const;
  Traffic traffic() const;
  PeerProgress peer_progress() const;
  void set_progress(uint64_t number) { progress_ = number; }
  const std::string& peer() const { return config_.peer; }

 private:
  using Self = std::shared_ptr<Session>;
  struct Outgoing;  // one frame, ready for the socket

  // In the io thread. `self` keeps the session alive for as long as the coroutine runs.
  boost::asio::awaitable<void> write(Self self, size_t index);
  boost::asio::awaitable<void> read(Self self, size_t index);
  boost::asio::awaitable<Status> read_frame(Stream& stream, bool is_control);
  boost::asio::awaitable<Status> read_chunk(Stream& stream, FrameHeader header);
  boost::asio::awaitable<Status> read_signal(Stream& stream, FrameHeader header);
  boost::asio::awaitable<void> beat(Self self);
  void wake_writers();
  void close_streams();
  void finish_streams();
  boost::asio::awaitable<void> linger(Self self);
  boost::asio::awaitable<void> stream_ended(Self self, size_t index, Status cause);
  void written(const Outgoing& outgoing);

  // REQUIRES: mutex_ is held.
  std::optional<Outgoing> next_frame(size_t stream_index);
  std::optional<Outgoing> next_signal();
  Outgoing make_signal(FrameKind kind, uint64_t stamp);
  Status handle_signal(FrameKind kind, const Signal& signal);
  void finish_peer();
  void end(Status status);
  Status send_error() const;

  // Any thread, mutex_ not held.
  void kick();               // wakes the writers, once for many calls
  void fail(Status status);  // ends the session and its streams at once; the first status stays
  Status about_peer(const Status& status) const;

  boost::asio::io_context& io_;
  const SessionConfig config_;
  const std::vector<std::shared_ptr<Stream>> streams_;
  std::vector<boost::asio::steady_timer> wakes_;  // one a stream; cancelled to wake its writer
  boost::asio::steady_timer beat_timer_, linger_timer_, grace_timer_;
  bool is_grace_running_ = false;                                            // io thread
  enum class Io { kRunning, kFinishing, kClosed } io_state_ = Io::kRunning;  // io thread only
  std::atomic<uint64_t> progress_{0};
  std::atomic<bool> kicked_{false};

  mutable std::mutex mutex_;
  std::condition_variable room_, arrival_, finished_;
  Status end_;  // why the connection is over; ok while it is not
  std::array<Outbox, 2> outboxes_;
  std::array<Inbox, 2> inboxes_;
  std::array<std::deque<uint64_t>, 2> waiting_;  // tickets of blocked senders, first come first
  uint64_t next_ticket_ = 0;
  std::array<uint64_t, 2> reported_taken_{};

  // Signals to send; a later one replaces an earlier one of its kind.
  bool want_ping_ = false, want_report_ = false, want_goodbye_taken_ = false;
  std::optional<uint64_t> pong_stamp_;

  bool is_closing_ = false;                            // close() or abort() was called here
  bool goodbye_sent_ = false;                          // all our messages are on their way
  bool goodbye_taken_ = false;                         // and the peer holds them
  bool goodbye_taken_sent_ = false;                    // the same for the peer's
  std::optional<std::array<uint64_t, 2>> peer_final_;  // how many messages it sent, by lane

  Heartbeat heartbeat_;
  RoundTripMeter round_trip_;
  ArrivalMeter arrival_meter_;
  double bandwidth_out_ = 0;
  PeerProgress peer_progress_;
  int64_t num_sent_ = 0, num_received_ = 0;
};

}  // namespace skarv::net
