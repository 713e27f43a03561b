// The io thread's half of a session: one writer and one reader a stream, and the heartbeat.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/text.h"
#include "net/crc32c.h"
#include "net/session.h"

namespace skarv::net {
namespace asio = boost::asio;
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
// Up to here a frame is copied into one piece: one system call, one TLS record.
constexpr size_t kSmallFrameBytes = size_t{16} << 10;
constexpr Duration kLingerTime = std::chrono::seconds(1);

asio::const_buffer to_buffer(std::span<const std::byte> bytes) {
  return asio::buffer(bytes.data(), bytes.size());
}
asio::mutable_buffer to_buffer(std::span<std::byte> bytes) {
  return asio::buffer(bytes.data(), bytes.size());
}

}  // namespace

struct Session::Outgoing {
  Outbox::Piece piece;
  std::string signal;  // the payload of a signal
  FrameHeaderBytes header{};
  std::string small;  // the whole frame, if it is small

  // Checksums are computed here, outside the lock.
  WriteBuffers finish() {
    if (!signal.empty()) piece.payload[0] = std::as_bytes(std::span(signal));
    piece.header.payload_crc = crc32c(piece.payload[1], crc32c(piece.payload[0]));
    header = encode(piece.header);
    if (header.size() + piece.header.payload_bytes > kSmallFrameBytes) {
      return {asio::buffer(header), to_buffer(piece.payload[0]), to_buffer(piece.payload[1])};
    }
    small.reserve(header.size() + piece.header.payload_bytes);
    for (std::span<const std::byte> part :
         {std::span<const std::byte>(header), piece.payload[0], piece.payload[1]}) {
      small.append(reinterpret_cast<const char*>(part.data()), part.size());
    }
    return from(asio::buffer(small));
  }
};

void Session::start() {
  const Self self = shared_from_this();
  for (size_t i = 0; i < streams_.size(); ++i) {
    asio::co_spawn(io_, write(self, i), asio::detached);
    asio::co_spawn(io_, read(self, i), asio::detached);
  }
  asio::co_spawn(io_, beat(self), asio::detached);
}

void Session::wake_writers() {
  for (asio::steady_timer& wake : wakes_) wake.cancel();
}

void Session::finish_streams() {
  if (io_state_ != Io::kRunning) return;
  io_state_ = Io::kFinishing;
  wake_writers();
  for (const auto& stream : streams_) stream->shut_down_sending();
  asio::co_spawn(io_, linger(shared_from_this()), asio::detached);
}

// Closing a socket that holds unread bytes resets it, and what is still on its way to the peer is
// lost. So the last words wait for the peer's end of file, for a while.
asio::awaitable<void> Session::linger(Self /*self*/) {
  linger_timer_.expires_after(kLingerTime);
  co_await linger_timer_.async_wait(kNoThrow);
  close_streams();
}

void Session::close_streams() {
  if (io_state_ == Io::kClosed) return;
  io_state_ = Io::kClosed;
  for (const auto& stream : streams_) stream->close();
  beat_timer_.cancel();
  linger_timer_.cancel();
  grace_timer_.cancel();
  wake_writers();
}

asio::awaitable<void> Session::write(Self self, size_t index) {
  while (io_state_ == Io::kRunning) {
    std::optional<Outgoing> outgoing;
    {
      const std::scoped_lock lock(mutex_);
      outgoing = next_frame(index);
    }
    if (!outgoing) {
      // Nothing is lost between the look and the wait: whoever wakes does so in this thread.
      co_await wakes_[index].async_wait(kNoThrow);
      continue;
    }
    const WriteBuffers buffers = outgoing->finish();
    const Status status = co_await streams_[index]->write(buffers);
    if (!status.ok()) {
      co_await stream_ended(self, index, status);
      co_return;
    }
    written(*outgoing);
  }
}

std::optional<Session::Outgoing> Session::next_frame(size_t stream_index) {
  if (stream_index == 0) {
    if (auto signal = next_signal()) return signal;
  }
  auto piece = outboxes_[stream_index == 0 ? 0 : 1].next();
  if (piece) {
    // The last piece may have been what the goodbye on the control stream waits for.
    if (is_closing_ && stream_index != 0 && outboxes_[1].empty()) wakes_[0].cancel();
    return Outgoing{.piece = std::move(*piece)};
  }
  const bool is_all_sent = outboxes_[0].empty() && outboxes_[1].empty();
  if (stream_index == 0 && is_closing_ && end_.ok() && is_all_sent && !goodbye_sent_) {
    goodbye_sent_ = true;
    return make_signal(FrameKind::kGoodbye, 0);
  }
  return std::nullopt;
}

std::optional<Session::Outgoing> Session::next_signal() {
  if (pong_stamp_) {
    const uint64_t stamp = *pong_stamp_;
    pong_stamp_.reset();
    return make_signal(FrameKind::kPong, stamp);
  }
  if (want_ping_) {
    want_ping_ = false;
    return make_signal(FrameKind::kPing, Clock::real().now().time_since_epoch().count());
  }
  if (want_goodbye_taken_) {
    want_goodbye_taken_ = false;
    return make_signal(FrameKind::kGoodbyeTaken, 0);
  }
  if (want_report_) return make_signal(FrameKind::kReport, 0);
  return std::nullopt;
}

Session::Outgoing Session::make_signal(FrameKind kind, uint64_t stamp) {
  Signal signal{.stamp = stamp, .progress = progress_};
  for (size_t lane = 0; lane < 2; ++lane) {
    reported_taken_[lane] = signal.taken_bytes[lane] = inboxes_[lane].taken_bytes();
    signal.num_messages[lane] = outboxes_[lane].num_messages();
  }
  signal.bandwidth_in = static_cast<uint64_t>(arrival_meter_.bytes_per_second());
  want_report_ = false;
  Outgoing outgoing{.signal = encode(signal)};
  outgoing.piece.header.kind = kind;
  outgoing.piece.header.payload_bytes = kSignalBytes;
  return outgoing;
}

void Session::written(const Outgoing& outgoing) {
  if (outgoing.piece.header.kind != FrameKind::kGoodbyeTaken) return;
  const std::scoped_lock lock(mutex_);
  goodbye_taken_sent_ = true;
  finished_.notify_all();
  // An end that is closing too still waits for the confirmation of its own messages.
  if (!is_closing_) {
    end(about_peer(Status(Code::kUnavailable, Scope::kPeer, "closed by the other end")));
  }
}

asio::awaitable<void> Session::read(Self self, size_t index) {
  while (io_state_ != Io::kClosed) {
    const Status status = co_await read_frame(*streams_[index], index == 0);
    if (status.ok()) continue;
    if (status.code() == Code::kDataLoss) {
      fail(about_peer(status));
    } else {
      co_await stream_ended(self, index, status);
    }
    co_return;
  }
}

asio::awaitable<Status> Session::read_frame(Stream& stream, bool is_control) {
  FrameHeaderBytes bytes;
  if (Status status = co_await stream.read(into(asio::buffer(bytes))); !status.ok())
    co_return status;
  const Result<FrameHeader> header = decode_frame_header(bytes, config_.own_max_body_bytes);
  if (!header.ok()) co_return header.status();
  if (is_control != (header->lane == Lane::kControl)) {
    co_return Status(Code::kDataLoss, Scope::kPeer, "a frame came on the stream of the other lane");
  }
  if (header->kind == FrameKind::kChunk) co_return co_await read_chunk(stream, *header);
  co_return co_await read_signal(stream, *header);
}

asio::awaitable<Status> Session::read_chunk(Stream& stream, FrameHeader header) {
  const size_t lane = static_cast<size_t>(header.lane);
  Inbox::Place place;
  {
    const std::scoped_lock lock(mutex_);
    Result<Inbox::Place> placed = inboxes_[lane].place(header);
    if (!placed.ok()) co_return placed.status();
    place = *placed;
  }
  const ReadBuffers buffers{to_buffer(place[0]), to_buffer(place[1])};
  if (Status status = co_await stream.read(buffers); !status.ok()) co_return status;
  if (crc32c(place[1], crc32c(place[0])) != header.payload_crc) {
    co_return Status(Code::kDataLoss, Scope::kLink,
                     cat("payload checksum of message ", header.sequence, " is wrong"));
  }
  const std::scoped_lock lock(mutex_);
  inboxes_[lane].arrived(header);
  if (header.lane == Lane::kBulk) {
    arrival_meter_.chunk(header.sequence, header.message_bytes() / kChunkBytes,
                         header.payload_bytes, Clock::real().now());
  }
  if (inboxes_[lane].ready()) arrival_.notify_all();
  finish_peer();
  co_return Status();
}

asio::awaitable<Status> Session::read_signal(Stream& stream, FrameHeader header) {
  std::array<char, kSignalBytes> bytes;
  if (Status status = co_await stream.read(into(asio::buffer(bytes))); !status.ok())
    co_return status;
  if (crc32c(std::as_bytes(std::span(bytes))) != header.payload_crc) {
    co_return Status(Code::kDataLoss, Scope::kLink, "signal checksum is wrong");
  }
  const Result<Signal> signal = decode_signal({bytes.data(), bytes.size()});
  if (!signal.ok()) co_return signal.status();
  const std::scoped_lock lock(mutex_);
  co_return handle_signal(header.kind, *signal);
}

Status Session::handle_signal(FrameKind kind, const Signal& signal) {
  const Time now = Clock::real().now();
  for (size_t lane = 0; lane < 2; ++lane) {
    if (!outboxes_[lane].taken(signal.taken_bytes[lane])) {
      return Status(Code::kDataLoss, Scope::kPeer, "the peer claims to have taken what never went");
    }
  }
  room_.notify_all();
  bandwidth_out_ = static_cast<double>(signal.bandwidth_in);
  if (signal.progress != peer_progress_.number) peer_progress_ = {signal.progress, now};

  if (kind == FrameKind::kPing) {
    pong_stamp_ = signal.stamp;
    wakes_[0].cancel();
  } else if (kind == FrameKind::kPong) {
    const Duration round_trip = now.time_since_epoch() - Duration(signal.stamp);
    if (round_trip < Duration(0) || round_trip > 10 * heartbeat_.detection_time()) return {};
    heartbeat_.answered(now);
    round_trip_.sample(round_trip);
  } else if (kind == FrameKind::kGoodbye) {
    peer_final_ = signal.num_messages;
    finish_peer();
  } else if (kind == FrameKind::kGoodbyeTaken && goodbye_sent_) {
    goodbye_taken_ = true;
    finished_.notify_all();
  }
  return {};
}

void Session::finish_peer() {
  if (!peer_final_ || want_goodbye_taken_ || goodbye_taken_sent_) return;
  for (size_t lane = 0; lane < 2; ++lane) {
    if (inboxes_[lane].num_complete() < (*peer_final_)[lane]) return;
  }
  want_goodbye_taken_ = true;
  wakes_[0].cancel();
}

asio::awaitable<void> Session::stream_ended(Self /*self*/, size_t index, Status cause) {
  if (index != 0 && io_state_ != Io::kClosed) {
    // A peer that leaves ends all streams at once, and what it said last is on the control stream:
    // give that one time to be read. Only if it lives on has this stream been lost alone.
    if (!is_grace_running_) {
      grace_timer_.expires_after(std::min(kLingerTime, config_.detection_time));
    }
    is_grace_running_ = true;
    co_await grace_timer_.async_wait(kNoThrow);
  }
  if (io_state_ == Io::kClosed) co_return;
  fail(about_peer(
           Status(cause.code(), Scope::kPeer, cat("lost without a goodbye: ", cause.message())))
           .with_hint("the peer died, was stopped, or the path was cut: see the peer's own log"));
}

asio::awaitable<void> Session::beat(Self /*self*/) {
  while (io_state_ == Io::kRunning) {
    const Time now = Clock::real().now();
    Heartbeat::Verdict verdict;
    Duration silence;
    {
      const std::scoped_lock lock(mutex_);
      verdict = heartbeat_.check(now);
      silence = heartbeat_.silence(now);
      want_ping_ = true;
      beat_timer_.expires_at(heartbeat_.next_check());
    }
    if (verdict.failed) {
      fail(
          Status(Code::kUnavailable, Scope::kPeer,
                 cat("'", config_.peer, "' has not answered for ", fixed(to_seconds(silence), 2),
                     " s (detection time ", fixed(to_seconds(config_.detection_time), 2), " s)"))
              .with_hint("the peer is stopped or the path to it is cut in at least one direction"));
      co_return;
    }
    wakes_[0].cancel();
    co_await beat_timer_.async_wait(kNoThrow);
  }
}

}  // namespace skarv::net
