// One direction of a shared link in pure time arithmetic: a serialiser of a given rate, then a
// delay. Nothing here sleeps or knows sockets, so tests run it in virtual time. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "wan-emulator/settings.h"

namespace skarv::emulator {

// When the next byte may pass something that passes `rate` bytes per second.
class Serialiser {
 public:
  // Takes `num_bytes` at `now`; when the last of them is through. rate 0: at once.
  Time pass(size_t num_bytes, double rate, Time now);
  Time free_at() const { return free_at_; }

 private:
  Time free_at_{};
};

class Shaper {
 public:
  explicit Shaper(std::string name);

  void configure(const DirectionSettings& settings);
  const DirectionSettings& settings() const { return settings_; }

  // A cut link takes nothing and delivers nothing until it is healed; what is on it waits.
  void set_cut(bool is_cut) { is_cut_ = is_cut; }
  bool is_cut() const { return is_cut_; }

  // Whether the queue has room, and if not, from when on (forever late if cut).
  Time has_room_at(Time now) const;
  // How much to take from one stream at a time, so that streams share fairly and time is fine.
  size_t quantum() const;

  // Takes bytes at `now`; when they come out at the other end.
  Time pass(size_t num_bytes, Time now);

  // Counts a packet; whether the link loses it, as the seed and its number say.
  bool loses_next();
  void count_dropped() { ++num_dropped_; }  // no room, or cut

  int64_t num_packets() const { return static_cast<int64_t>(num_packets_); }
  int64_t num_lost() const { return num_lost_; }
  int64_t num_dropped() const { return num_dropped_; }
  int64_t num_bytes() const { return num_bytes_; }  // since the start

 private:
  std::string name_;
  DirectionSettings settings_;
  bool is_cut_ = false;
  Serialiser link_;
  CounterRandom random_, loss_;
  uint64_t num_chunks_ = 0, num_packets_ = 0;
  int64_t num_bytes_ = 0, num_lost_ = 0, num_dropped_ = 0;
};

}  // namespace skarv::emulator
