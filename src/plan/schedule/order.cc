#include "plan/schedule/order.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace skarv {
namespace {

using enum ActionKind;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class Order {
 public:
  Order(const OrderRule& rule, const std::vector<int>& worker_of_stage, int num_microbatches)
      : rule_(rule),
        num_stages_(static_cast<int>(worker_of_stage.size())),
        num_microbatches_(num_microbatches),
        stages_(worker_of_stage.size()) {
    const int num_workers = 1 + *std::max_element(worker_of_stage.begin(), worker_of_stage.end());
    workers_.resize(num_workers);
    for (int s = 0; s < num_stages_; ++s) {
      // The deepest stage first: it frees memory soonest.
      std::vector<int>& mine = workers_[worker_of_stage[s]].stages;
      mine.insert(mine.begin(), s);
    }
  }

  std::vector<std::vector<Work>> run() {
    while (step()) {
    }
    std::vector<std::vector<Work>> result;
    for (Worker& worker : workers_) result.push_back(std::move(worker.done));
    return result;
  }

 private:
  struct StageState {
    int num_forward = 0, num_backward = 0, num_weight = 0;  // microbatches, each in order
    std::vector<int64_t> forward_end, backward_end;
  };
  struct Worker {
    std::vector<int> stages;
    int64_t free_at = 0;
    std::vector<Work> done;
  };
  struct Choice {
    int64_t start = kNever;
    Work work{};
  };

  int64_t backward_ready(int s) const {
    const StageState& stage = stages_[s];
    const int i = stage.num_backward;
    if (i >= stage.num_forward) return kNever;
    if (rule_.fills_first && stage.num_forward < num_microbatches_) return kNever;
    if (s + 1 == num_stages_) return stage.forward_end[i];
    return i < stages_[s + 1].num_backward ? stages_[s + 1].backward_end[i] : kNever;
  }

  int64_t forward_ready(int s) const {
    const StageState& stage = stages_[s];
    const int i = stage.num_forward;
    if (i >= num_microbatches_) return kNever;
    if (!rule_.fills_first && i - stage.num_backward >= num_stages_ - s) return kNever;
    if (rule_.is_split && i - stage.num_weight >= num_stages_) return kNever;
    if (s == 0) return 0;
    return i < stages_[s - 1].num_forward ? stages_[s - 1].forward_end[i] : kNever;
  }

  // The earliest thing to do; at equal times backward before forward before weights.
  Choice choose(const Worker& worker) const {
    Choice best;
    const auto offer = [&](int64_t ready, Work work) {
      if (ready == kNever) return;
      const int64_t start = std::max(ready, worker.free_at);
      if (start < best.start) best = {start, work};
    };
    for (int s : worker.stages) {
      const ActionKind kind = rule_.is_split ? kBackwardInput : kBackward;
      offer(backward_ready(s), {kind, s, stages_[s].num_backward});
    }
    for (int s : worker.stages) offer(forward_ready(s), {kForward, s, stages_[s].num_forward});
    if (rule_.is_split) {
      for (int s : worker.stages) {
        const bool is_open = stages_[s].num_weight < stages_[s].num_backward;
        offer(is_open ? worker.free_at : kNever, {kBackwardWeight, s, stages_[s].num_weight});
      }
    }
    return best;
  }

  // Plays the next piece of work of all workers; false at the end.
  bool step() {
    Choice best;
    Worker* chosen = nullptr;
    for (Worker& worker : workers_) {
      const Choice choice = choose(worker);
      if (choice.start < best.start) {
        best = choice;
        chosen = &worker;
      }
    }
    if (chosen == nullptr) return false;
    StageState& stage = stages_[best.work.stage];
    const int64_t end = best.start + (best.work.kind == kBackward ? 2 : 1);
    if (best.work.kind == kForward) {
      stage.forward_end.push_back(end);
      ++stage.num_forward;
    } else if (best.work.kind == kBackwardWeight) {
      ++stage.num_weight;
    } else {
      stage.backward_end.push_back(end);
      ++stage.num_backward;
    }
    chosen->free_at = end;
    chosen->done.push_back(best.work);
    return true;
  }

  const OrderRule& rule_;
  const int num_stages_, num_microbatches_;
  std::vector<StageState> stages_;
  std::vector<Worker> workers_;
};

}  // namespace

const std::vector<OrderRule>& order_rules() {
  static const std::vector<OrderRule> rules = {
      {"1f1b", "one forward, one backward in turn", false, false},
      {"gpipe", "all forwards, then all backwards", false, true},
      {"zero-bubble", "backward in two parts, weights fill the gaps", true, false},
  };
  return rules;
}

Result<OrderRule> find_order_rule(const std::string& name) {
  std::vector<std::string> names;
  for (const OrderRule& rule : order_rules()) {
    if (rule.name == name) return rule;
    names.push_back(rule.name);
  }
  const std::string near = nearest_name(name, names);
  return Status(Code::kNotFound, Scope::kConfig, cat("no schedule is named \"", name, "\""))
      .with_hint(near.empty() ? "there are " + join(names, ", ") : cat("did you mean ", near, "?"));
}

std::vector<std::vector<Work>> order_pipeline(const OrderRule& rule,
                                              const std::vector<int>& worker_of_stage,
                                              int num_microbatches) {
  return Order(rule, worker_of_stage, num_microbatches).run();
}

}  // namespace skarv
