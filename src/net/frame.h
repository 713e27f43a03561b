// Frames: what a stream carries after its handshake. A fixed header with its own checksum, then at
// most kMaxPayloadBytes. Pure functions; nothing here touches a socket.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "net/message.h"

namespace skarv::net {

inline constexpr size_t kChunkBytes = size_t{256} << 10;
inline constexpr size_t kMaxPayloadBytes = kMaxHeadBytes + kMaxControlBodyBytes;
inline constexpr size_t kFrameHeaderBytes = 52;

enum class FrameKind : uint8_t {
  kChunk = 1,  // a piece of a message: [offset, offset + payload_bytes) of head then body
  kPing,       // the others carry a Signal
  kPong,
  kReport,
  kGoodbye,       // no more messages; the signal says how many there were
  kGoodbyeTaken,  // all of them are here
};

struct FrameHeader {
  FrameKind kind = FrameKind::kChunk;
  Lane lane = Lane::kControl;
  uint32_t type = 0;
  uint32_t head_bytes = 0;
  uint64_t body_bytes = 0;
  uint64_t sequence = 0;  // of the message in its lane, from 0
  uint64_t offset = 0;
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;

  uint64_t message_bytes() const { return head_bytes + body_bytes; }
};

using FrameHeaderBytes = std::array<std::byte, kFrameHeaderBytes>;

FrameHeaderBytes encode(const FrameHeader& header);
// Checks everything that needs no memory of earlier frames: magic, checksum, kinds, every length
// and offset against its bound. Error: kDataLoss.
Result<FrameHeader> decode_frame_header(const FrameHeaderBytes& bytes, uint64_t max_body_bytes);

// Every signal says all of it, so that none depends on another having arrived.
struct Signal {
  uint64_t stamp = 0;                      // ping: sender's clock; pong: the ping's stamp
  uint64_t progress = 0;                   // see Connection::set_progress
  std::array<uint64_t, 2> taken_bytes{};   // by lane: message bytes handed to the program
  std::array<uint64_t, 2> num_messages{};  // by lane: messages sent; meaningful in a goodbye
  uint64_t bandwidth_in = 0;               // bytes per second, as measured by the sender
};
inline constexpr size_t kSignalBytes = 56;

std::string encode(const Signal& signal);
Result<Signal> decode_signal(std::string_view bytes);

// What a message counts against the window of its lane: even an empty one takes memory.
inline constexpr uint64_t kMessageOverheadBytes = 256;
inline uint64_t window_cost(uint64_t message_bytes) {
  return message_bytes + kMessageOverheadBytes;
}

}  // namespace skarv::net
