#include "plan/schedule/goal.h"

#include <algorithm>
#include <tuple>

namespace skarv {
namespace {

constexpr int64_t kUnreached = -(int64_t{1} << 62);
// Stages of a long pipeline whose time is bounded; the first is where it matters most.
constexpr int kMostSources = 32;

// Earliest times in a relaxed step, microbatch by microbatch: what differs from a real one is that
// a worker may do several things at once, as long as the sums of its work come out.
class Relaxed {
 public:
  explicit Relaxed(const PipelineTimes& times) : times_(times), num_(times.num_microbatches) {
    for (int s = 0; s < times.num_stages(); ++s) {
      const int64_t kept = times.stages[s].kept_bytes;
      const int64_t limit = times.memory_bytes[times.worker_of_stage[s]];
      depth_.push_back(kept == 0 ? num_ : std::min<int64_t>(num_, limit / kept));
    }
  }

  // With the first forward of `source` at 0, and nothing known of what does not follow from it:
  // when the last work of `source` ends at the earliest, or of any stage.
  int64_t end_after(int source, bool of_any_stage) {
    const int num_stages = times_.num_stages();
    forward_.assign(num_stages, {});
    input_.assign(num_stages, {});
    for (int64_t i = 0; i < num_; ++i) {
      for (int s = 0; s < num_stages; ++s) {
        forward_[s].push_back(i == 0 && s == source ? 0 : forward_start(s, i));
      }
      for (int s = num_stages; s-- > 0;) input_[s].push_back(input_start(s, i));
    }
    int64_t end = end_of(source);
    for (int s = 0; of_any_stage && s < num_stages; ++s) end = std::max(end, end_of(s));
    return end;
  }

 private:
  // Messages queue for their lane: the i-th cannot be there before one sent earlier and what has
  // been transferred since.
  static int64_t arrival(const LaneTimes& lane, bool is_local, int64_t end, int64_t previous_end) {
    if (is_local) return end;
    return std::max(end, previous_end + lane.transfer_ns) + lane.total_ns();
  }

  // Weights that memory has forced before the i-th forward can start.
  int64_t forced_weights(int s, int64_t i) const {
    const StageTimes& stage = times_.stages[s];
    const int64_t freed = std::max<int64_t>(0, stage.freed_by_input);
    const int64_t each = stage.kept_bytes - freed;
    if (each == 0) return 0;
    const __int128 over = static_cast<__int128>(i + 1) * stage.kept_bytes -
                          static_cast<__int128>(i) * freed -
                          times_.memory_bytes[times_.worker_of_stage[s]];
    return over <= 0 ? 0 : static_cast<int64_t>((over + each - 1) / each);
  }

  int64_t forward_start(int s, int64_t i) const {
    const StageTimes& stage = times_.stages[s];
    int64_t start = kUnreached;
    if (s > 0 && is_reached(forward_[s - 1][i])) {
      const int64_t ns = times_.stages[s - 1].forward_ns;
      const int64_t before = i > 0 ? forward_[s - 1][i - 1] + ns : kUnreached;
      start = arrival(times_.borders[s - 1].activation, times_.is_local(s - 1),
                      forward_[s - 1][i] + ns, before);
    }
    if (i == 0) return start;
    start = std::max(start, forward_[s][i - 1] + stage.forward_ns);
    if (i >= depth_[s]) {
      start = std::max(start, input_[s][i - depth_[s]] + stage.backward_input_ns);
    }
    const int64_t inputs = std::max<int64_t>(0, i + 1 - depth_[s]);
    const int64_t weights = forced_weights(s, i);
    if (weights > 0) {
      start = std::max(start,
                       input_[s][weights - 1] + stage.backward_input_ns + stage.backward_weight_ns);
    }
    return std::max(start, forward_[s][0] + i * stage.forward_ns +
                               inputs * stage.backward_input_ns +
                               weights * stage.backward_weight_ns);
  }

  int64_t input_start(int s, int64_t i) const {
    const StageTimes& stage = times_.stages[s];
    int64_t start = forward_[s][i] + stage.forward_ns;
    if (s + 1 < times_.num_stages()) {
      const int64_t ns = times_.stages[s + 1].backward_input_ns;
      const int64_t before = i > 0 ? input_[s + 1][i - 1] + ns : kUnreached;
      start = std::max(start, arrival(times_.borders[s].gradient, times_.is_local(s),
                                      input_[s + 1][i] + ns, before));
    }
    if (i > 0) start = std::max(start, input_[s][i - 1] + stage.backward_input_ns);
    return std::max(start, forward_[s][0] + (i + 1) * stage.forward_ns +
                               i * stage.backward_input_ns +
                               forced_weights(s, i) * stage.backward_weight_ns);
  }

  // Whatever starts then has all that cannot have been done before still to come.
  int64_t end_of(int s) const {
    const StageTimes& stage = times_.stages[s];
    if (!is_reached(forward_[s][0])) return 0;
    int64_t end = 0;
    for (int64_t i = 0; i < num_; ++i) {
      const int64_t most_forwards = std::min(num_, i + depth_[s]);
      const int64_t rest = (num_ - most_forwards) * stage.forward_ns +
                           (num_ - i) * (stage.backward_input_ns + stage.backward_weight_ns);
      end = std::max({end, forward_[s][i] + (num_ - i) * stage.work_ns(), input_[s][i] + rest});
    }
    return end;
  }

  static bool is_reached(int64_t time) { return time > kUnreached / 2; }

  const PipelineTimes& times_;
  const int64_t num_;
  std::vector<int64_t> depth_;                         // most microbatches in a stage, by memory
  std::vector<std::vector<int64_t>> forward_, input_;  // starts, by stage and microbatch
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

int64_t least_makespan(const PipelineTimes& times) {
  std::vector<int64_t> work(times.num_workers(), 0), first(times.num_workers(), -1);
  int64_t way = 0;  // to the start of the stage's first forward
  for (int s = 0; s < times.num_stages(); ++s) {
    const int worker = times.worker_of_stage[s];
    work[worker] += times.num_microbatches * times.stages[s].work_ns();
    if (first[worker] < 0) first[worker] = way;
    way += times.stages[s].forward_ns;
    if (s + 1 < times.num_stages()) way += times.activation_ns(s);
  }
  int64_t makespan = Relaxed(times).end_after(0, true);
  for (size_t worker = 0; worker < work.size(); ++worker) {
    makespan = std::max(makespan, first[worker] + work[worker]);
  }
  return makespan;
}

Bounds bounds_of(const PipelineTimes& times) {
  Bounds bounds;
  bounds.makespan_ns = least_makespan(times);
  std::vector<int64_t> work(times.num_workers(), 0);
  for (int s = 0; s < times.num_stages(); ++s) {
    work[times.worker_of_stage[s]] += times.num_microbatches * times.stages[s].work_ns();
  }
  bounds.work_ns = std::ranges::max(work);
  bounds.longest_ns = bounds.work_ns;
  Relaxed relaxed(times);
  const int stride = 1 + (times.num_stages() - 1) / kMostSources;
  for (int s = 0; s < times.num_stages(); s += stride) {
    bounds.longest_ns = std::max(bounds.longest_ns, relaxed.end_after(s, false));
  }
  return bounds;
}

}  // namespace skarv
