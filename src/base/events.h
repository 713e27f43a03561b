// What happened, as JSON lines, one file a process: {"t": seconds, "utc": ..., "who": ..., "what":
// ...}. The last thousand also stay in memory, so that a missed deadline or a crash has last words.
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

namespace skarv {

// Thread-safe. Writing never fails the caller: a full disk is counted and the ring goes on. A line
// that the disk took in part stays alone: the next one begins on a line of its own.
class EventLog {
 public:
  // `who`: "coordinator", "north/a", "north/a/0". Without a path only the ring is kept.
  explicit EventLog(std::string who, Clock& clock = Clock::real());
  Status open(const std::filesystem::path& path);

  void write(const std::string& what, Json fields = Json::object());
  std::vector<std::string> recent(size_t num_lines) const;  // oldest first
  int64_t num_lost() const;                                 // lines that no disk took

 private:
  const std::string who_;
  Clock& clock_;
  const Time start_;
  mutable std::mutex mutex_;
  std::optional<AppendFile> file_;
  bool is_torn_ = false;  // the file's last line has no end
  std::deque<std::string> ring_;
  int64_t num_lost_ = 0;
};

}  // namespace skarv
