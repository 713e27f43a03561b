// What a link is like in one direction, and how people write that: "rate=100Mbit delay=50ms".
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"

namespace skarv::emulator {

struct DirectionSettings {
  double rate = 0;    // bytes per second; 0: unlimited
  Duration delay{};   // one way
  Duration jitter{};  // each chunk is delayed by delay +- jitter, never overtaking within a stream
  // What a single stream may have in flight: it gets at most window / (delay there and back), which
  // is what TCP with buffers of that size would reach. 0: unlimited.
  double stream_window = 0;  // bytes
  double loss = 0;           // of packets, 0 to 1; only where the link carries packets
  uint64_t seed = 0;         // of loss and jitter
  // How much the link queues before senders feel it, as time at its rate.
  Duration queue = std::chrono::milliseconds(30);
};

// Direction a: from the side that the listeners face towards the targets. b: back.
enum class Direction { kA = 0, kB = 1 };
using LinkSettings = std::array<DirectionSettings, 2>;

// Applies "rate=1Gbit", "a.delay=20ms", "b.window=4MB", "jitter=1ms", "queue=50ms"; without a. or
// b. both directions. loss=0.1%, seed=7. Rates: bit, kbit, Mbit, Gbit (per second); times: us, ms,
// s; sizes: B, kB, MB; powers of 1000. Nothing is changed on an error (kInvalidArgument).
Status apply_setting(std::string_view assignment, LinkSettings& settings);

// The same for a flag and its value: "--rate-a", "1Mbit".
Status apply_flag(std::string flag, const std::string& value, LinkSettings& settings);
// "16MB" -> 16e6.
Result<double> parse_size(std::string_view text);

Json to_json(const DirectionSettings& settings);

}  // namespace skarv::emulator
