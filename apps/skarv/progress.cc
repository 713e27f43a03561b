#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/text.h"

namespace skarv {

namespace {

constexpr size_t kShortestBar = 5, kLongestBar = 20;

std::string percent(double fraction) {
  const std::string digits = fixed(fraction * 100, 0);
  return std::string(3 - std::min<size_t>(3, digits.size()), ' ') + digits + " %";
}

std::string whole_parts(const std::string& text, size_t room) {
  if (text.size() <= room) return text;
  const size_t end = text.rfind("  ", room);
  return text.substr(0, end == std::string::npos ? room : end);
}

}  // namespace

std::string bar_line(double fraction, const std::string& text, size_t columns) {
  const size_t fixed_part = std::string("[] 100 %  ").size() + 1;
  const size_t room = std::max(columns, fixed_part + kShortestBar) - fixed_part;
  const std::string shown = whole_parts(text, room - kShortestBar);
  const size_t bar = std::min(room - shown.size(), kLongestBar);
  const size_t filled = static_cast<size_t>(fraction * static_cast<double>(bar));
  return cat("[", std::string(filled, '#'), std::string(bar - filled, '.'), "] ", percent(fraction),
             "  ", shown);
}

Progress::Progress(bool quiet, Duration line_interval)
    : quiet_(quiet), terminal_(::isatty(2) != 0), line_interval_(line_interval) {}

void Progress::update(double fraction, const std::string& text) {
  fraction_ = std::clamp(fraction, 0.0, 1.0);
  text_ = text;
  if (quiet_) return;
  const Time now = Clock::real().now();
  const Duration interval = terminal_ ? Duration(std::chrono::milliseconds(100)) : line_interval_;
  if (drawn_ && now - last_ < interval && fraction_ < 1) return;
  last_ = now;
  draw();
}

void Progress::draw() {
  drawn_ = true;
  if (!terminal_) {
    std::fprintf(stderr, "%s  %s\n", percent(fraction_).c_str(), text_.c_str());
    return;
  }
  winsize size{};
  const size_t columns = ::ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 40 ? size.ws_col : 80;
  std::fprintf(stderr, "\r%s\033[K", bar_line(fraction_, text_, columns).c_str());
  std::fflush(stderr);
}

void Progress::say(const std::string& line) {
  if (quiet_) return;
  std::fprintf(stderr, terminal_ ? "\r\033[K%s\n" : "%s\n", line.c_str());
  if (terminal_ && drawn_) draw();
}

void Progress::finish() {
  if (quiet_ || !drawn_) return;
  draw();
  if (terminal_) std::fputc('\n', stderr);
  drawn_ = false;
}

}  // namespace skarv
