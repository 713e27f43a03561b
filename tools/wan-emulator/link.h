// One emulated link: both directions, shared by any number of forwardings and streams, and the
// commands that change it while it works.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "wan-emulator/shaper.h"

namespace skarv::emulator {

class Link {
 public:
  explicit Link(const LinkSettings& settings);

  Shaper& direction(Direction which) { return shapers_[static_cast<size_t>(which)]; }
  // What one stream may send per second in `which`; 0: unlimited.
  double stream_rate(Direction which) const;

  // One line of the control socket; one line of JSON back, with "error" in it if there was one:
  //   set rate=100Mbit a.delay=20ms    (see settings.h)
  //   cut a | cut b | cut both         (bytes wait, TCP notices nothing)
  //   heal | heal a | heal b
  //   stats
  std::string execute(std::string_view line);
  Json stats() const;

 private:
  std::array<Shaper, 2> shapers_;
};

}  // namespace skarv::emulator
