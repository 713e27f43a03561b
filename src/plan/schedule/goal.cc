#include "plan/schedule/goal.h"

#include <algorithm>
#include <tuple>

namespace skarv {
namespace {

constexpr int64_t kUnreached = -(int64_t{1} << 62);
// Stages of a long pipeline whose time is bounded; the first is where it matters most.
constexpr int kMostSources = 32;

int64_t ceil_of(int64_t number, int64_t divisor) {
  return number / divisor + static_cast<int64_t>(number % divisor > 0);
}

// The way of messages to a stage from one of its neighbours.
struct Way {
  LaneTimes lane;
  bool is_local = false;  // no way at all

  // Messages queue for their lane: the i-th cannot be there before one sent earlier and what has
  // been transferred since.
  int64_t arrival(int64_t end, int64_t previous_end) const {
    if (is_local) return end;
    return std::max(end, previous_end + lane.transfer_ns) + lane.total_ns();
  }
};

}  // namespace

// Earliest times in a relaxed step, microbatch by microbatch: what differs from a real one is that
// a worker may do several things at once, as long as the sums of its work come out.
class Bounds::Relaxed {
 public:
  explicit Relaxed(const PipelineTimes& times)
      : num_(times.num_microbatches), num_stages_(times.num_stages()) {
    for (int s = 0; s < num_stages_; ++s) {
      const StageTimes& one = times.stages[s];
      const int64_t limit = times.memory_bytes[times.worker_of_stage[s]];
      Stage& stage = stages_.emplace_back();
      stage.forward_ns = one.forward_ns;
      stage.input_ns = one.backward_input_ns;
      stage.weight_ns = one.backward_weight_ns;
      stage.depth = one.kept_bytes == 0 ? num_ : std::min<int64_t>(num_, limit / one.kept_bytes);
      const int64_t each = one.kept_bytes - std::max<int64_t>(0, one.freed_by_input);
      stage.forced = each == 0 ? -num_ : ceil_of(one.kept_bytes - limit, each);
      if (s > 0) stage.from_before = {times.borders[s - 1].activation, times.is_local(s - 1)};
      if (s + 1 < num_stages_) stage.from_behind = {times.borders[s].gradient, times.is_local(s)};
    }
    forward_.resize(static_cast<size_t>(num_) * num_stages_);
    input_.resize(forward_.size());
  }

  // With the first forward of `source` at 0, and nothing known of what does not follow from it:
  // when the last work of `source` ends at the earliest, or of any stage.
  int64_t end_after(int source, bool of_any_stage) {
    for (int64_t i = 0; i < num_; ++i) {
      for (int s = 0; s < num_stages_; ++s) {
        forward(s, i) = i == 0 && s == source ? 0 : forward_start(s, i);
      }
      for (int s = num_stages_; s-- > 0;) input(s, i) = input_start(s, i);
    }
    int64_t end = end_of(source);
    for (int s = 0; of_any_stage && s < num_stages_; ++s) end = std::max(end, end_of(s));
    return end;
  }

 private:
  struct Stage {
    int64_t forward_ns, input_ns, weight_ns;
    int64_t depth;   // most microbatches, by memory
    int64_t forced;  // of weights that memory has forced before the i-th forward: less i
    Way from_before, from_behind;
  };

  int64_t& forward(int s, int64_t i) { return forward_[i * num_stages_ + s]; }
  int64_t& input(int s, int64_t i) { return input_[i * num_stages_ + s]; }

  static int64_t forced_weights(const Stage& stage, int64_t i) {
    return std::max<int64_t>(0, i + stage.forced);
  }

  int64_t forward_start(int s, int64_t i) {
    const Stage& stage = stages_[s];
    int64_t start = kUnreached;
    if (s > 0 && is_reached(forward(s - 1, i))) {
      const int64_t ns = stages_[s - 1].forward_ns;
      const int64_t before = i > 0 ? forward(s - 1, i - 1) + ns : kUnreached;
      start = stage.from_before.arrival(forward(s - 1, i) + ns, before);
    }
    if (i == 0) return start;
    start = std::max(start, forward(s, i - 1) + stage.forward_ns);
    if (i >= stage.depth) {
      start = std::max(start, input(s, i - stage.depth) + stage.input_ns);
    }
    const int64_t inputs = std::max<int64_t>(0, i + 1 - stage.depth);
    const int64_t weights = forced_weights(stage, i);
    if (weights > 0) {
      start = std::max(start, input(s, weights - 1) + stage.input_ns + stage.weight_ns);
    }
    return std::max(start, forward(s, 0) + i * stage.forward_ns + inputs * stage.input_ns +
                               weights * stage.weight_ns);
  }

  int64_t input_start(int s, int64_t i) {
    const Stage& stage = stages_[s];
    int64_t start = forward(s, i) + stage.forward_ns;
    if (s + 1 < num_stages_) {
      const int64_t ns = stages_[s + 1].input_ns;
      const int64_t before = i > 0 ? input(s + 1, i - 1) + ns : kUnreached;
      start = std::max(start, stage.from_behind.arrival(input(s + 1, i) + ns, before));
    }
    if (i > 0) start = std::max(start, input(s, i - 1) + stage.input_ns);
    return std::max(start, forward(s, 0) + (i + 1) * stage.forward_ns + i * stage.input_ns +
                               forced_weights(stage, i) * stage.weight_ns);
  }

  // Whatever starts then has all that cannot have been done before still to come.
  int64_t end_of(int s) {
    const Stage& stage = stages_[s];
    if (!is_reached(forward(s, 0))) return 0;
    int64_t end = 0;
    for (int64_t i = 0; i < num_; ++i) {
      const int64_t most_forwards = std::min(num_, i + stage.depth);
      const int64_t backwards = (num_ - i) * (stage.input_ns + stage.weight_ns);
      end = std::max({end, forward(s, i) + (num_ - i) * stage.forward_ns + backwards,
                      input(s, i) + (num_ - most_forwards) * stage.forward_ns + backwards});
    }
    return end;
  }

  static bool is_reached(int64_t time) { return time > kUnreached / 2; }

  const int64_t num_;
  const int num_stages_;
  std::vector<Stage> stages_;
  std::vector<int64_t> forward_, input_;  // starts, by microbatch and stage
};

bool is_better(const Played& a, const Played& b, Objective objective) {
  if (a.is_valid != b.is_valid) return a.is_valid;
  if (objective == Objective::kMakespan) {
    return std::tie(a.makespan_ns, a.longest_ns, a.total_ns) <
           std::tie(b.makespan_ns, b.longest_ns, b.total_ns);
  }
  return std::tie(a.longest_ns, a.makespan_ns, a.total_ns) <
         std::tie(b.longest_ns, b.makespan_ns, b.total_ns);
}

namespace {

// No worker can end before its first forward can begin and all its work is done.
int64_t busiest_end(const PipelineTimes& times) {
  std::vector<int64_t> work(times.num_workers(), 0), first(times.num_workers(), -1);
  int64_t way = 0;  // to the start of the stage's first forward
  for (int s = 0; s < times.num_stages(); ++s) {
    const int worker = times.worker_of_stage[s];
    work[worker] += times.num_microbatches * times.stages[s].work_ns();
    if (first[worker] < 0) first[worker] = way;
    way += times.stages[s].forward_ns;
    if (s + 1 < times.num_stages()) way += times.activation_ns(s);
  }
  int64_t end = 0;
  for (size_t worker = 0; worker < work.size(); ++worker) {
    end = std::max(end, first[worker] + work[worker]);
  }
  return end;
}

int64_t most_work(const PipelineTimes& times) {
  std::vector<int64_t> work(times.num_workers(), 0);
  for (int s = 0; s < times.num_stages(); ++s) {
    work[times.worker_of_stage[s]] += times.num_microbatches * times.stages[s].work_ns();
  }
  return std::ranges::max(work);
}

}  // namespace

Bounds::Bounds(const PipelineTimes& times)
    : relaxed_(std::make_unique<Relaxed>(times)),
      num_stages_(times.num_stages()),
      work_ns_(most_work(times)),
      makespan_ns_(std::max(relaxed_->end_after(0, true), busiest_end(times))),
      longest_ns_(work_ns_) {}
Bounds::~Bounds() = default;

bool Bounds::are_met_by(const Played& played) {
  if (!played.is_valid || played.makespan_ns > makespan_ns_) return false;
  while (played.longest_ns > longest_ns_ && next_source_ < num_stages_) look_further();
  return played.longest_ns <= longest_ns_;
}

int64_t Bounds::longest_ns() {
  while (next_source_ < num_stages_) look_further();
  return longest_ns_;
}

void Bounds::look_further() {
  longest_ns_ = std::max(longest_ns_, relaxed_->end_after(next_source_, false));
  next_source_ += 1 + (num_stages_ - 1) / kMostSources;
}

}  // namespace skarv
