#include "plan/schedule/improve.h"

#include <algorithm>

#include "base/random.h"

namespace skarv {
namespace {

// How far a piece moves at most, every other time.
constexpr int kNear = 4, kReach = 16;
// The first tolerance: one microbatch's work through this. It shrinks to nothing as effort is used.
constexpr int kCalm = 30;

class Search {
 public:
  Search(WorkOrder order, const PipelineTimes& times, const Improvement& options)
      : times_(times),
        options_(options),
        bounds_(times),
        random_(options.seed, "improve"),
        order_(std::move(order)),
        accepted_(times),
        trial_(times) {}

  WorkOrder run() {
    current_ = accepted_.play(order_);
    best_ = current_;
    best_order_ = order_;
    if (current_.makespan_ns == 0) return best_order_;
    const int64_t first =
        std::max<int64_t>(1, 100 * bounds_.work_ns() / times_.num_microbatches / kCalm);
    int64_t used = accepted_.num_played();
    while (used < options_.max_pieces && !bounds_.are_met_by(best_)) {
      const int64_t tolerance = first - first * used / options_.max_pieces;
      used += 8 + try_move(tolerance * tolerance / first);
    }
    return std::move(best_order_);
  }

 private:
  uint64_t below(uint64_t bound) { return random_.below(num_draws_++, bound); }

  // Hundredths of a nanosecond; small is good. The whole step counts, so that there is a slope
  // where the goals are flat.
  int64_t energy(const Played& played) const {
    const bool is_makespan = options_.objective == Objective::kMakespan;
    const int64_t first = is_makespan ? played.makespan_ns : played.longest_ns;
    const int64_t second = is_makespan ? played.longest_ns : played.makespan_ns;
    return 100 * first + 30 * second + 10 * played.total_ns / times_.num_workers();
  }

  int64_t try_move(int64_t tolerance) {
    const int worker = static_cast<int>(below(order_.size()));
    std::vector<Token>& list = order_[worker];
    const int size = static_cast<int>(list.size());
    if (size < 2) return 0;
    const int from = static_cast<int>(below(size));
    const int distance = 1 + static_cast<int>(below(below(2) == 0 ? kNear : kReach));
    const int to = below(2) == 0 ? from - distance : from + distance;
    if (to < 0 || to >= size || !move(worker, from, to)) return 0;
    const int index = std::min(from, to);
    trial_ = accepted_;
    const int64_t before = trial_.num_played();
    rotate(list, to, from);
    trial_.rewind(order_, worker, index);
    rotate(list, from, to);
    const Played played = trial_.resume(order_);
    const int64_t limit = energy(current_) + static_cast<int64_t>(below(tolerance + 1));
    if (!played.is_valid || energy(played) > limit) {
      rotate(list, to, from);
      return trial_.num_played() - before;
    }
    std::swap(accepted_, trial_);
    current_ = played;
    if (is_better(played, best_, options_.objective)) {
      best_ = played;
      best_order_ = order_;
    }
    return accepted_.num_played() - before;
  }

  static void rotate(std::vector<Token>& list, int from, int to) {
    if (from < to) {
      std::rotate(list.begin() + from, list.begin() + from + 1, list.begin() + to + 1);
    } else {
      std::rotate(list.begin() + to, list.begin() + from, list.begin() + from + 1);
    }
  }

  // False, with nothing changed, when the order would say the same or break a rule of its stage.
  bool move(int worker, int from, int to) {
    std::vector<Token>& list = order_[worker];
    const Token token = list[from];
    const int low = std::min(from, to), high = std::max(from, to);
    if (std::all_of(list.begin() + low, list.begin() + high + 1,
                    [token](Token other) { return other == token; })) {
      return false;
    }
    rotate(list, from, to);
    const int64_t peak = peak_bytes(list, times_);
    if (peak >= 0 && peak <= times_.memory_bytes[worker]) return true;
    rotate(list, to, from);
    return false;
  }

  const PipelineTimes& times_;
  const Improvement& options_;
  Bounds bounds_;
  const CounterRandom random_;
  uint64_t num_draws_ = 0;
  WorkOrder order_, best_order_;
  Player accepted_, trial_;  // of `order_`, and with one move
  Played current_, best_;
};

}  // namespace

WorkOrder improve(WorkOrder order, const PipelineTimes& times, const Improvement& options) {
  return Search(std::move(order), times, options).run();
}

}  // namespace skarv
