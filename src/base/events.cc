#include "base/events.h"

#include <algorithm>
#include <fstream>

#include "base/text.h"

namespace skarv {

namespace {
constexpr size_t kRingLines = 1000;

bool ends_in_a_line(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() == 0) return true;
  file.seekg(-1, std::ios::end);
  return file.get() == '\n';
}
}  // namespace

EventLog::EventLog(std::string who, Clock& clock)
    : who_(std::move(who)), clock_(clock), start_(clock.now()) {}

Status EventLog::open(const std::filesystem::path& path) {
  SKARV_ASSIGN(auto file, AppendFile::open(path));
  std::lock_guard lock(mutex_);
  file_ = std::move(file);
  is_torn_ = !ends_in_a_line(path);
  return Status();
}

void EventLog::write(const std::string& what, Json fields) {
  Json line = {
      {"t", to_seconds(clock_.now() - start_)}, {"utc", utc_now()}, {"who", who_}, {"what", what}};
  line.update(fields);
  std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::lock_guard lock(mutex_);
  if (file_) {
    const bool is_written = file_->append(cat(is_torn_ ? "\n" : "", text, "\n")).ok();
    if (!is_written) ++num_lost_;
    is_torn_ = !is_written;
  }
  ring_.push_back(std::move(text));
  if (ring_.size() > kRingLines) ring_.pop_front();
}

std::vector<std::string> EventLog::recent(size_t num_lines) const {
  std::lock_guard lock(mutex_);
  const size_t count = std::min(num_lines, ring_.size());
  return {ring_.end() - static_cast<std::ptrdiff_t>(count), ring_.end()};
}

int64_t EventLog::num_lost() const {
  std::lock_guard lock(mutex_);
  return num_lost_;
}

}  // namespace skarv
