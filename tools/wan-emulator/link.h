// One emulated link: both directions, shared by any number of forwardings and streams, and the
// commands that change it while it works.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "wan-emulator/shaper.h"

namespace skarv::emulator {

// What the link carries: bytes of streams that end at the relay, or packets that may be lost.
enum class Cargo { kStreams, kPackets };

class Link {
 public:
  explicit Link(const LinkSettings& settings, Cargo cargo = Cargo::kStreams);

  // kInvalidArgument: a setting that `cargo` cannot have (loss of streams, a window of packets).
  static Status check(const LinkSettings& settings, Cargo cargo);

  Shaper& direction(Direction which) { return shapers_[static_cast<size_t>(which)]; }
  // What one stream may send per second in `which`; 0: unlimited.
  double stream_rate(Direction which) const;

  // One line of the control socket; one line of JSON back, with "error" in it if there was one:
  //   set rate=100Mbit a.delay=20ms    (see settings.h)
  //   cut a | cut b | cut both         (streams: bytes wait, TCP notices nothing; packets: gone)
  //   heal | heal a | heal b
  //   stats
  std::string execute(std::string_view line);
  Json stats() const;

 private:
  const Cargo cargo_;
  std::array<Shaper, 2> shapers_;
};

}  // namespace skarv::emulator
