// The sending half of a lane, without sockets: a queue of messages, cut into frames, and the window
// that keeps what the peer's program has not taken within bounds. Not thread-safe; no clock.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "net/frame.h"
#include "net/message.h"

namespace skarv::net {

class Outbox {
 public:
  // `window_bytes`: what the peer said it holds. Cuts messages at `chunk_bytes`.
  Outbox(Lane lane, uint64_t window_bytes, size_t chunk_bytes)
      : lane_(lane), window_bytes_(window_bytes), chunk_bytes_(chunk_bytes) {}

  // A message larger than the whole window passes when nothing else is outstanding.
  bool has_room(uint64_t message_bytes) const {
    return num_outstanding() == 0 ||
           num_outstanding() + window_cost(message_bytes) <= window_bytes_;
  }
  // REQUIRES: has_room.
  void push(Message message);

  // The peer's total; smaller or impossible totals are ignored (false).
  bool taken(uint64_t taken_bytes);

  struct Piece {
    FrameHeader header;                                 // payload_crc not yet set
    std::array<std::span<const std::byte>, 2> payload;  // of the head, of the body
    std::shared_ptr<const Message> message;             // keeps the payload alive
  };
  // The next frame to write, in order; none when the queue is empty.
  std::optional<Piece> next();

  bool empty() const { return queue_.empty(); }
  // Bytes pushed that the peer's program has not taken.
  uint64_t num_outstanding() const { return sent_bytes_ - taken_bytes_; }
  uint64_t num_messages() const { return num_messages_; }
  void clear() { queue_.clear(); }

 private:
  const Lane lane_;
  const uint64_t window_bytes_;
  const size_t chunk_bytes_;
  std::deque<std::shared_ptr<const Message>> queue_;
  uint64_t offset_ = 0;        // into the front message
  uint64_t num_messages_ = 0;  // pushed so far
  uint64_t sent_bytes_ = 0, taken_bytes_ = 0;
};

}  // namespace skarv::net
