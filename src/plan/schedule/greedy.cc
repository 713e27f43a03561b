#include "plan/schedule/greedy.h"

#include <algorithm>

#include "plan/schedule/earliest.h"

namespace skarv {
namespace {

constexpr int64_t kNever = Earliest::kNever;

class Greedy {
 public:
  Greedy(const PipelineTimes& times, const GreedyRule& rule, int64_t give_up_ns)
      : rule_(rule),
        num_microbatches_(times.num_microbatches),
        give_up_ns_(give_up_ns > 0 ? give_up_ns : kNever),
        stages_(times.num_stages()),
        workers_(times.num_workers()),
        wakes_(times.num_workers()),
        order_(times.num_workers()) {
    // One message more than there are, which never comes.
    const size_t num_arrivals = num_microbatches_ + size_t{1};
    arrivals_.assign(2 * stages_.size() * num_arrivals, kNever);
    for (int s = 0; s < times.num_stages(); ++s) {
      stages_[s].input = &arrivals_[2 * s * num_arrivals];
      stages_[s].gradient = stages_[s].input + num_arrivals;
      add_stage(times, s);
    }
    for (int w = 0; w < times.num_workers(); ++w) {
      workers_[w].most_bytes = times.memory_bytes[w];
      order_[w].reserve(3 * workers_[w].stages.size() * num_microbatches_);
    }
    std::fill_n(stages_[0].input, num_microbatches_, 0);
    // After its last input of a stage the gradient still goes all the way to the first one.
    int64_t way = times.stages[0].backward_weight_ns;
    for (int s = 0; s < times.num_stages(); ++s) {
      Worker& worker = workers_[times.worker_of_stage[s]];
      const StageTimes& stage = times.stages[s];
      const int64_t urgent = stage.forward_ns + stage.backward_input_ns;
      worker.urgent_left += num_microbatches_ * urgent;
      worker.left += num_microbatches_ * stage.work_ns();
      worker.way = std::min(worker.way, way);
      if (s + 1 < times.num_stages()) way += times.gradient_ns(s) + stage.backward_input_ns;
    }
  }

  WorkOrder run() {
    while (wakes_.time() < kNever) {
      const int64_t now = wakes_.time();
      const int w = wakes_.who();
      Worker& worker = workers_[w];
      const Choice choice = choose(worker, now);
      worker.is_waiting = choice.token < 0;
      if (worker.is_waiting) {
        wakes_.set(w, choice.wake);
        continue;
      }
      if (is_late(worker, now)) return {};
      start(w, choice.token, now);
    }
    return std::move(order_);
  }

 private:
  struct Stage {
    int64_t forward_ns, input_ns, weight_ns;
    int64_t gap_ns;  // that is worth filling with weights
    int64_t kept_bytes, freed_bytes, added_bytes;
    int worker, depth;
    int num_forward = 0, num_input = 0, num_weight = 0;
    // Arrivals by microbatch, kNever where it is not known yet, and where the next one goes.
    int64_t *input, *gradient;
    int num_inputs = 0, num_gradients = 0;
    LaneTimes activation, to_previous;               // nothing within a worker
    int64_t activation_lane = 0, gradient_lane = 0;  // free again
  };
  struct Worker {
    std::vector<int> stages;  // the deepest first: it frees memory soonest
    int64_t held_bytes = 0, most_bytes = 0;
    int64_t spare_bytes = 0;  // what forwards leave, so that a backward can always follow
    // Work that is not done, and that part of it that others wait for, with its way to the end.
    int64_t left = 0, urgent_left = 0, way = kNever;
    bool is_waiting = false;  // for a message that wakes it; else until it is free
  };
  struct Choice {
    Token token;   // -1: wait
    int64_t wake;  // until then, unless something is sent meanwhile
  };

  void add_stage(const PipelineTimes& times, int s) {
    const StageTimes& one = times.stages[s];
    Stage& stage = stages_[s];
    stage.forward_ns = one.forward_ns;
    stage.input_ns = one.backward_input_ns;
    stage.weight_ns = one.backward_weight_ns;
    stage.gap_ns = (one.backward_weight_ns * rule_.weight_gap + 999) / 1000;
    stage.kept_bytes = one.kept_bytes;
    stage.freed_bytes = one.freed_by_input;
    stage.added_bytes = one.added_by_input();
    stage.worker = times.worker_of_stage[s];
    stage.depth = rule_.depth.empty() ? num_microbatches_ : rule_.depth[s];
    if (s > 0 && !times.is_local(s - 1)) {
      stages_[s - 1].activation = times.borders[s - 1].activation;
      stage.to_previous = times.borders[s - 1].gradient;
    }
    Worker& worker = workers_[stage.worker];
    worker.stages.insert(worker.stages.begin(), s);
    worker.spare_bytes = std::max(worker.spare_bytes, stage.added_bytes);
  }

  bool is_late(const Worker& worker, int64_t now) const {
    return now + std::max(worker.left,
                          worker.urgent_left == 0 ? 0 : worker.urgent_left + worker.way) >=
           give_up_ns_;
  }

  // A forward leaves room for one microbatch in every deeper stage of the worker that holds none,
  // so that the oldest microbatch can always go on: that keeps shared memory from getting stuck.
  bool has_memory(const Worker& worker, int s) const {
    int64_t needed = worker.held_bytes + worker.spare_bytes;
    for (int deeper : worker.stages) {
      const Stage& stage = stages_[deeper];
      if (deeper > s && stage.num_forward > stage.num_input) continue;
      needed += stage.kept_bytes;
      if (deeper == s) break;
    }
    return needed <= worker.most_bytes;
  }

  // When the next forward might start, and the next backward for inputs, memory left aside.
  int64_t next_forward(const Stage& stage) const {
    const bool may = stage.num_forward - stage.num_input < stage.depth;
    return may ? stage.input[stage.num_forward] : kNever;
  }
  int64_t next_input(const Stage& stage) const {
    const bool may = !rule_.fills_first || stage.num_forward == num_microbatches_;
    return may ? stage.gradient[stage.num_input] : kNever;
  }

  Choice choose(const Worker& worker, int64_t now) const {
    Token forward = -1, input = -1, weight = -1;
    int64_t next = kNever, wake = kNever;  // of what there is memory for, and of anything
    bool is_full = false;
    const auto add = [&](Token& option, Token token, int64_t arrival, bool fits) {
      if (arrival > now) {
        wake = std::min(wake, arrival);
        if (fits) next = std::min(next, arrival);
      } else if (!fits) {
        is_full = true;
      } else if (option < 0) {
        option = token;
      }
    };
    for (int s : worker.stages) {
      const Stage& stage = stages_[s];
      if (stage.num_weight < stage.num_input) {
        if (rule_.is_fused) return {token_of(s, Part::kWeight), 0};
        if (weight < 0) weight = token_of(s, Part::kWeight);
      }
      add(input, token_of(s, Part::kInput), next_input(stage),
          worker.held_bytes + stage.added_bytes <= worker.most_bytes);
      add(forward, token_of(s, Part::kForward), next_forward(stage), has_memory(worker, s));
    }
    if (forward >= 0 && (rule_.forward_first || input < 0)) return {forward, 0};
    if (input >= 0) return {input, 0};
    if (weight < 0 || is_full || next - now >= stages_[stage_of(weight)].gap_ns) {
      return {weight, wake};
    }
    return {-1, wake};
  }

  void start(int w, Token token, int64_t now) {
    Worker& worker = workers_[w];
    const int s = stage_of(token);
    Stage& stage = stages_[s];
    order_[w].push_back(token);
    int64_t end = now;
    switch (part_of(token)) {
      case Part::kForward:
        end += stage.forward_ns;
        worker.left -= stage.forward_ns;
        worker.urgent_left -= stage.forward_ns;
        worker.held_bytes += stage.kept_bytes;
        ++stage.num_forward;
        if (s + 1 == static_cast<int>(stages_.size())) {
          stage.gradient[stage.num_gradients++] = end;
        } else {
          Stage& target = stages_[s + 1];
          target.input[target.num_inputs++] =
              send(end, stage.activation, stage.activation_lane, target.worker);
        }
        break;
      case Part::kInput:
        end += stage.input_ns;
        worker.left -= stage.input_ns;
        worker.urgent_left -= stage.input_ns;
        worker.held_bytes -= stage.freed_bytes;
        ++stage.num_input;
        if (s > 0) {
          Stage& target = stages_[s - 1];
          target.gradient[target.num_gradients++] =
              send(end, stage.to_previous, stage.gradient_lane, target.worker);
        }
        break;
      case Part::kWeight:
        end += stage.weight_ns;
        worker.left -= stage.weight_ns;
        worker.held_bytes -= stage.kept_bytes - stage.freed_bytes;
        ++stage.num_weight;
        break;
    }
    wakes_.set(w, end);
  }

  // When it is there. Within a worker ends only grow, so no lane is waited for.
  int64_t send(int64_t end, const LaneTimes& lane, int64_t& lane_free, int receiver) {
    lane_free = std::max(lane_free, end) + lane.transfer_ns;
    const int64_t arrival = lane_free + lane.latency_ns;
    if (workers_[receiver].is_waiting) wakes_.set_at_most(receiver, arrival);
    return arrival;
  }

  const GreedyRule& rule_;
  const int num_microbatches_;
  const int64_t give_up_ns_;
  std::vector<int64_t> arrivals_;
  std::vector<Stage> stages_;
  std::vector<Worker> workers_;
  Earliest wakes_;
  WorkOrder order_;
};

}  // namespace

WorkOrder order_greedily(const PipelineTimes& times, const GreedyRule& rule, int64_t give_up_ns) {
  return Greedy(times, rule, give_up_ns).run();
}

}  // namespace skarv
