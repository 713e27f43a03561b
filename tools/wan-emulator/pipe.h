// One direction of one relayed TCP connection: bytes read from a socket, on their way over the
// link, written to another when their time has come. Never blocks. Not thread-safe.
#pragma once

#include <deque>
#include <vector>

#include "wan-emulator/link.h"

namespace skarv::emulator {

class Pipe {
 public:
  // Both sockets are non-blocking and outlive the pipe.
  Pipe(Link& link, Direction direction, int source, int destination)
      : link_(link), direction_(direction), source_(source), destination_(destination) {}

  // From when on the pipe wants to read; Time::max(): not until something else changes.
  Time wants_read_at(Time now) const;
  // Reads one quantum of the shaper. False when the source has no more for now.
  bool read(Time now);
  // Writes all that is due.
  void deliver(Time now);
  // When the next bytes are due; Time::max(): none, or the destination is full.
  Time next_due() const;
  bool is_blocked() const { return is_blocked_; }  // waits for room at the destination
  void unblock() { is_blocked_ = false; }

  bool is_finished() const { return has_ended_ && in_flight_.empty(); }
  bool is_broken() const { return is_broken_; }  // the destination takes nothing any more
  Direction direction() const { return direction_; }
  int source() const { return source_; }
  int destination() const { return destination_; }

 private:
  struct Chunk {
    Time due;
    std::vector<char> bytes;  // empty: the end of the stream
    size_t offset = 0;
  };

  Link& link_;
  const Direction direction_;
  const int source_, destination_;
  Serialiser stream_;  // the cap of this stream
  std::deque<Chunk> in_flight_;
  size_t num_bytes_ = 0;  // in flight
  bool has_ended_ = false, is_blocked_ = false, is_broken_ = false;
};

}  // namespace skarv::emulator
