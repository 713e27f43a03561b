#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace skarv {

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
    std::fprintf(stderr, "%3.0f %%  %s\n", fraction_ * 100, text_.c_str());
    return;
  }
  winsize size{};
  const size_t columns = ::ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 40 ? size.ws_col : 80;
  constexpr size_t kBar = 20;
  const size_t filled = static_cast<size_t>(fraction_ * kBar);
  std::string line = "[" + std::string(filled, '#') + std::string(kBar - filled, '.') + "] ";
  line += text_;
  if (line.size() > columns - 1) line.resize(columns - 1);
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
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
