// The unit that connections carry.
#pragma once

#include <cstdint>
#include <string>

#include "net/buffer.h"

namespace skarv::net {

inline constexpr size_t kMaxHeadBytes = size_t{1} << 20;
// A control message is one frame; larger bodies belong on the bulk lane.
inline constexpr size_t kMaxControlBodyBytes = size_t{1} << 20;

struct Message {
  uint32_t type = 0;  // means whatever the two ends agree on
  std::string head;   // small: JSON or binary, at most kMaxHeadBytes
  Buffer body;        // at most Options::max_body_bytes of the receiver
};

// Each lane keeps its own order. Control has a TCP stream of its own, so it overtakes any amount of
// queued bulk; bulk is cut into chunks that are striped over the other streams.
enum class Lane : uint8_t { kControl = 0, kBulk = 1 };

}  // namespace skarv::net
