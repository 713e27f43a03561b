#include "wan-emulator/pipe.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace skarv::emulator {
namespace {

// Of one pipe; only reached where the rate is unlimited, or the destination does not read.
constexpr size_t kMaxBytesInFlight = size_t{256} << 20;
constexpr size_t kMaxBytesBlocked = size_t{1} << 20;

}  // namespace

Time Pipe::wants_read_at(Time now) const {
  if (has_ended_ || num_bytes_ >= kMaxBytesInFlight) return Time::max();
  if (is_blocked_ && num_bytes_ >= kMaxBytesBlocked) return Time::max();
  const Shaper& shaper = link_.direction(direction_);
  return std::max(shaper.has_room_at(now), stream_.free_at() - shaper.settings().queue);
}

bool Pipe::read(Time now) {
  Shaper& shaper = link_.direction(direction_);
  std::vector<char> bytes(shaper.quantum());
  const ssize_t size = recv(source_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  // An error of the source ends the stream like its end of file, after what is still on the way.
  bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
  has_ended_ = bytes.empty();
  // The stream's own cap holds bytes back, but never the link for other streams.
  const Time through = stream_.pass(bytes.size(), link_.stream_rate(direction_), now);
  Time due = std::max(shaper.pass(bytes.size(), now), through + shaper.settings().delay);
  if (!in_flight_.empty()) due = std::max(due, in_flight_.back().due);
  num_bytes_ += bytes.size();
  in_flight_.push_back({due, std::move(bytes)});
  return !has_ended_;
}

void Pipe::deliver(Time now) {
  if (link_.direction(direction_).is_cut()) return;
  while (!in_flight_.empty() && in_flight_.front().due <= now && !is_blocked_ && !is_broken_) {
    Chunk& chunk = in_flight_.front();
    if (chunk.bytes.empty()) {
      shutdown(destination_, SHUT_WR);
      in_flight_.pop_front();
      continue;
    }
    const ssize_t size = send(destination_, chunk.bytes.data() + chunk.offset,
                              chunk.bytes.size() - chunk.offset, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) {
      is_blocked_ = errno == EAGAIN;
      is_broken_ = !is_blocked_ && errno != EINTR;
      continue;
    }
    num_bytes_ -= static_cast<size_t>(size);
    chunk.offset += static_cast<size_t>(size);
    if (chunk.offset == chunk.bytes.size()) in_flight_.pop_front();
  }
}

Time Pipe::next_due() const {
  if (in_flight_.empty() || is_blocked_ || link_.direction(direction_).is_cut()) return Time::max();
  return in_flight_.front().due;
}

}  // namespace skarv::emulator
