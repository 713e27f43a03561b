#include "plan/schedule/goal.h"

#include <algorithm>
#include <tuple>

#include "plan/schedule/warm_up.h"

namespace skarv {
namespace {

class Bounding {
 public:
  explicit Bounding(const PipelineTimes& times)
      : times_(times), num_(times.num_microbatches), trips_(round_trips(times)) {
    const int p = times.num_stages();
    // to_[s]: from the start of the first stage's forward to the start of stage s's; back_[s]: from
    // the end of stage s's backward for inputs to the end of the first stage's.
    to_.assign(p, 0);
    back_.assign(p, 0);
    for (int s = 1; s < p; ++s) {
      to_[s] = to_[s - 1] + times.stages[s - 1].forward_ns + times.activation_ns(s - 1);
      back_[s] = back_[s - 1] + times.stages[s - 1].backward_input_ns + times.gradient_ns(s - 1);
    }
    is_alone_.assign(p, false);
    std::vector<int> num_stages_of(times.num_workers(), 0);
    for (int worker : times.worker_of_stage) ++num_stages_of[worker];
    for (int s = 0; s < p; ++s) is_alone_[s] = num_stages_of[times.worker_of_stage[s]] == 1;
  }

  Bounds run() const {
    Bounds bounds;
    std::vector<int64_t> work(times_.num_workers(), 0);
    std::vector<int64_t> first(times_.num_workers(), -1);
    for (int s = 0; s < times_.num_stages(); ++s) {
      const int worker = times_.worker_of_stage[s];
      work[worker] += num_ * times_.stages[s].work_ns();
      if (first[worker] < 0) first[worker] = to_[s];
    }
    for (int worker = 0; worker < times_.num_workers(); ++worker) {
      bounds.work_ns = std::max(bounds.work_ns, work[worker]);
      bounds.makespan_ns = std::max(bounds.makespan_ns, first[worker] + work[worker]);
    }
    bounds.longest_ns = bounds.work_ns;
    for (int s = 0; s < times_.num_stages(); ++s) {
      const int64_t longest = std::max({filled(s), around(s), crowded(s)});
      bounds.longest_ns = std::max(bounds.longest_ns, longest);
      bounds.makespan_ns = std::max(bounds.makespan_ns, to_[s] + longest);
    }
    return bounds;
  }

 private:
  int64_t filled(int s) const {
    if (!is_alone_[s]) return 0;
    const StageTimes& stage = times_.stages[s];
    const int64_t limit = times_.memory_bytes[times_.worker_of_stage[s]];
    const int64_t most =
        stage.kept_bytes == 0 ? num_ : std::min<int64_t>(num_, limit / stage.kept_bytes);
    return num_ * stage.work_ns() + std::max<int64_t>(0, trips_[s] - most * stage.forward_ns);
  }

  int64_t around(int s) const {
    int64_t most = 0;
    for (int deep = s; deep < times_.num_stages(); ++deep) {
      const StageTimes& stage = times_.stages[deep];
      const int64_t waiting = stage.kept_bytes - stage.freed_by_input;
      const int64_t limit = times_.memory_bytes[times_.worker_of_stage[deep]];
      const int64_t can_wait = waiting == 0 ? num_ : std::min<int64_t>(num_, limit / waiting);
      most = std::max(most, to_[deep] - to_[s] + back_[deep] - back_[s] +
                                num_ * (stage.forward_ns + stage.backward_input_ns) +
                                (num_ - can_wait) * stage.backward_weight_ns);
    }
    return most + times_.stages[s].backward_weight_ns;
  }

  int64_t crowded(int s) const {
    const StageTimes& stage = times_.stages[s];
    const auto limit = static_cast<__int128>(times_.memory_bytes[times_.worker_of_stage[s]]);
    const __int128 whole = trips_[s] + stage.backward_input_ns;
    const __int128 area = num_ * (stage.kept_bytes * whole +
                                  static_cast<__int128>(stage.kept_bytes - stage.freed_by_input) *
                                      stage.backward_weight_ns);
    return limit == 0 ? 0 : static_cast<int64_t>((area + limit - 1) / limit);
  }

  const PipelineTimes& times_;
  const int64_t num_;
  const std::vector<int64_t> trips_;
  std::vector<int64_t> to_, back_;
  std::vector<bool> is_alone_;
};

}  // namespace

bool is_better(const Played& a, const Played& b, Objective objective) {
  if (a.is_valid != b.is_valid) return a.is_valid;
  if (objective == Objective::kMakespan) {
    return std::tie(a.makespan_ns, a.longest_ns, a.total_ns) <
           std::tie(b.makespan_ns, b.longest_ns, b.total_ns);
  }
  return std::tie(a.longest_ns, a.makespan_ns, a.total_ns) <
         std::tie(b.longest_ns, b.makespan_ns, b.total_ns);
}

Bounds bounds_of(const PipelineTimes& times) { return Bounding(times).run(); }

}  // namespace skarv
