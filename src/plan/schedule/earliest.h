// Who is next: a time for each of a few, and the one with the earliest. Of equal times the first
// one's. Times change one by one, as a tournament: a game for each doubling of their number.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace skarv {

class Earliest {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 2;

  // All at 0.
  explicit Earliest(int count) : num_leaves_(std::bit_ceil(static_cast<size_t>(count))) {
    games_.resize(2 * num_leaves_);
    for (size_t who = num_leaves_; who-- > 0;) {
      games_[num_leaves_ + who].who = static_cast<int>(who);
      set(static_cast<int>(who), who < static_cast<size_t>(count) ? 0 : kNever);
    }
  }

  int64_t time() const { return games_[1].time; }
  int who() const { return static_cast<int>(games_[1].who); }

  // At most kNever.
  void set(int who, int64_t time) {
    size_t game = num_leaves_ + static_cast<size_t>(who);
    Game winner{time, who};
    games_[game] = winner;
    for (; game > 1; game /= 2) {
      const Game& other = games_[game ^ 1];
      if (other.time < winner.time || (other.time == winner.time && (game & 1) != 0)) {
        winner = other;
      }
      games_[game / 2] = winner;
    }
  }
  void set_at_most(int who, int64_t time) {
    if (time < games_[num_leaves_ + static_cast<size_t>(who)].time) set(who, time);
  }

 private:
  struct Game {
    int64_t time = kNever, who = 0;
  };

  size_t num_leaves_;
  std::vector<Game> games_;  // the winner at 1, leaves from num_leaves_ on
};

}  // namespace skarv
