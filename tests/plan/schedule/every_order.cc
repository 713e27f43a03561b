#include "plan/schedule/every_order.h"

#include <algorithm>
#include <vector>

namespace skarv {
namespace {

class Everything {
 public:
  Everything(const PipelineTimes& times, Objective objective, int64_t limit)
      : times_(times), objective_(objective), best_(limit), stages_(times.num_stages()) {}

  int64_t run() {
    visit();
    return best_;
  }

 private:
  // Plain values, so that a copy undoes everything below it.
  struct Stage {
    int num[3] = {0, 0, 0};  // forwards, inputs, weights
    int decided = -1;        // next work, whose message is not there yet
    int64_t free_at = 0, first = -1, held = 0;
    std::vector<int64_t> input, gradient;            // arrivals
    int64_t activation_lane = 0, gradient_lane = 0;  // free again
  };

  bool is_finished(const Stage& stage) const { return stage.num[2] == times_.num_microbatches; }
  int64_t duration(int s, int part) const {
    const StageTimes& stage = times_.stages[s];
    return part == 0   ? stage.forward_ns
           : part == 1 ? stage.backward_input_ns
                       : stage.backward_weight_ns;
  }
  // -1: the message has not been sent.
  int64_t arrival(int s, int part) const {
    const Stage& stage = stages_[s];
    const size_t i = stage.num[part];
    if (part == 0 && s > 0) return i < stage.input.size() ? stage.input[i] : -1;
    if (part == 1 && s + 1 < times_.num_stages()) {
      return i < stage.gradient.size() ? stage.gradient[i] : -1;
    }
    return 0;
  }
  bool may_follow(int s, int part) const {
    const Stage& stage = stages_[s];
    const int64_t held = stage.held + (part == 1 ? times_.stages[s].added_by_input() : 0);
    if (held > times_.memory_bytes[s]) return false;
    if (part > 0) return stage.num[part] < stage.num[part - 1];
    return stage.num[0] < times_.num_microbatches &&
           stage.held + times_.stages[s].kept_bytes <= times_.memory_bytes[s];
  }

  // What the step takes at least with all that has been decided.
  int64_t bound() const {
    int64_t most = 0;
    for (int s = 0; s < times_.num_stages(); ++s) {
      const Stage& stage = stages_[s];
      int64_t end = stage.free_at;
      for (int part = 0; part < 3; ++part) {
        end += (times_.num_microbatches - stage.num[part]) * duration(s, part);
      }
      const bool is_span = objective_ == Objective::kLongestStage;
      most = std::max(most, is_span ? end - (stage.first < 0 ? stage.free_at : stage.first) : end);
    }
    return most;
  }

  void visit() {
    if (bound() >= best_) return;
    int chosen = -1;
    bool is_over = true;
    for (int s = 0; s < times_.num_stages(); ++s) {
      const Stage& stage = stages_[s];
      if (is_finished(stage)) continue;
      is_over = false;
      if (stage.decided >= 0) {
        if (arrival(s, stage.decided) < 0) continue;
        perform(s, stage.decided);
        return;
      }
      if (chosen < 0 || stage.free_at < stages_[chosen].free_at) chosen = s;
    }
    if (is_over) best_ = bound();
    if (chosen < 0) return;  // all wait for each other
    for (int part = 0; part < 3; ++part) {
      if (!may_follow(chosen, part)) continue;
      if (arrival(chosen, part) >= 0) {
        perform(chosen, part);
      } else {
        stages_[chosen].decided = part;
        visit();
        stages_[chosen].decided = -1;
      }
    }
  }

  void perform(int s, int part) {
    const std::vector<Stage> before = stages_;
    Stage& stage = stages_[s];
    const int64_t start = std::max(stage.free_at, arrival(s, part));
    stage.decided = -1;
    if (stage.first < 0) stage.first = start;
    stage.free_at = start + duration(s, part);
    ++stage.num[part];
    const StageTimes& sizes = times_.stages[s];
    stage.held += part == 0   ? sizes.kept_bytes
                  : part == 1 ? -sizes.freed_by_input
                              : sizes.freed_by_input - sizes.kept_bytes;
    if (part == 0 && s + 1 < times_.num_stages()) {
      const LaneTimes& lane = times_.borders[s].activation;
      stage.activation_lane = std::max(stage.activation_lane, stage.free_at) + lane.transfer_ns;
      stages_[s + 1].input.push_back(stage.activation_lane + lane.latency_ns);
    }
    if (part == 1 && s > 0) {
      const LaneTimes& lane = times_.borders[s - 1].gradient;
      stage.gradient_lane = std::max(stage.gradient_lane, stage.free_at) + lane.transfer_ns;
      stages_[s - 1].gradient.push_back(stage.gradient_lane + lane.latency_ns);
    }
    visit();
    stages_ = before;
  }

  const PipelineTimes& times_;
  const Objective objective_;
  int64_t best_;
  std::vector<Stage> stages_;
};

}  // namespace

int64_t best_of_every_order(const PipelineTimes& times, Objective objective, int64_t limit) {
  return Everything(times, objective, limit).run();
}

}  // namespace skarv
