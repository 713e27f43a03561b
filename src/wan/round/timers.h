// Every wait of the protocol, derived from two numbers a person sets (protocol.md, rule 12).
#pragma once

#include <algorithm>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "spec/run.h"

namespace skarv::wan {

struct Timers {
  Duration beat{};      // heartbeats; a fifth of the detection time
  Duration silent{};    // a peer that says nothing for so long counts as gone: the detection time
  Duration progress{};  // a transfer without a byte for so long is asked for again elsewhere
  Duration grace{};     // after K contributions are complete, for those nearly there
  Duration stall{};     // an attempt in which nothing moves for so long is given up
  Duration budget{};    // a round waits for contributors: the round budget

  // Doubled by every attempt, up to 64 times.
  static Duration backed_off(Duration duration, int64_t attempt) {
    return duration * (int64_t{1} << std::clamp<int64_t>(attempt - 1, 0, 6));
  }

  // Error: kInvalidArgument with the numbers when they cannot be ordered
  // (beat < silent <= progress <= stall <= budget).
  static Result<Timers> from(const ExchangeSettings& settings);
  std::string to_string() const;  // one line for the start of a run
};

}  // namespace skarv::wan
