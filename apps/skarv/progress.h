// What a person sees of long work, on stderr: a bar that redraws itself on a terminal, a plain line
// now and then elsewhere.
#pragma once

#include <cstddef>
#include <string>

#include "base/clock.h"

namespace skarv {

// A line for a terminal of so many columns, the last of which stays free: bar, percent, text. Parts
// of the text stand two spaces apart, the weightiest first; those that find no room beside a short
// bar are left out whole, and what room is left makes the bar longer.
std::string bar_line(double fraction, const std::string& text, size_t columns);

// One thread.
class Progress {
 public:
  // Quiet: nothing is shown. Lines elsewhere come at most every `line_interval`.
  explicit Progress(bool quiet, Duration line_interval = std::chrono::seconds(5));
  ~Progress() { finish(); }

  void update(double fraction, const std::string& text);
  // A line of its own, above the bar.
  void say(const std::string& line);
  void finish();  // leaves the last state standing

 private:
  void draw();
  bool quiet_, terminal_, drawn_ = false;
  Duration line_interval_;
  Time last_{};
  double fraction_ = 0;
  std::string text_;
};

}  // namespace skarv
