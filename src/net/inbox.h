// The receiving half of a lane, without sockets: pieces of messages come over several streams in
// any order, whole messages leave in the order in which they were sent. Not thread-safe; no clock.
//
// Memory is bounded by the window plus one message: a peer that sends more than was allowed is told
// so and the connection ends.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "net/frame.h"
#include "net/message.h"

namespace skarv::net {

class Inbox {
 public:
  Inbox(Lane lane, uint64_t window_bytes) : lane_(lane), window_bytes_(window_bytes) {}

  // Where the payload of a chunk belongs: part of the head, part of the body. Valid until the
  // message is popped, which is after arrived(), so it may be filled meanwhile. Error: kDataLoss.
  using Place = std::array<std::span<std::byte>, 2>;
  Result<Place> place(const FrameHeader& header);
  // The payload of a placed chunk is there and its checksum right.
  void arrived(const FrameHeader& header);

  // The next message if it is whole.
  bool ready() const;
  std::optional<Message> pop();

  uint64_t taken_bytes() const { return taken_bytes_; }    // popped since the start
  uint64_t num_complete() const { return num_complete_; }  // whole messages, popped ones too
  uint64_t num_held_bytes() const { return held_bytes_; }

 private:
  struct Partial {
    uint32_t type = 0;
    std::string head;
    std::shared_ptr<std::byte[]> body;
    uint64_t body_bytes = 0;
    std::vector<bool> placed;  // by chunk; empty until the first one
    size_t num_missing = 0;    // chunks that have not arrived

    uint64_t message_bytes() const { return head.size() + body_bytes; }
  };
  Status start(Partial& partial, const FrameHeader& header);

  const Lane lane_;
  const uint64_t window_bytes_;
  std::deque<Partial> partials_;  // front: sequence first_
  uint64_t first_ = 0;
  uint64_t held_bytes_ = 0;
  uint64_t taken_bytes_ = 0;
  uint64_t num_complete_ = 0;
};

}  // namespace skarv::net
