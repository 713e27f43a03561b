#include "plan/schedule/plain_greedy.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace skarv {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class Greedy {
 public:
  Greedy(const PipelineTimes& times, const GreedyRule& rule, int64_t give_up_ns)
      : times_(times),
        rule_(rule),
        give_up_ns_(give_up_ns > 0 ? give_up_ns : kNever),
        stages_(times.num_stages()),
        workers_(times.num_workers()),
        order_(times.num_workers()) {
    const size_t num_messages = times.num_microbatches;
    for (int s = 0; s < times.num_stages(); ++s) {
      // The deepest stage first: it frees memory soonest.
      std::vector<int>& mine = workers_[times.worker_of_stage[s]].stages;
      mine.insert(mine.begin(), s);
      int64_t& spare = workers_[times.worker_of_stage[s]].spare_bytes;
      spare = std::max(spare, times.stages[s].added_by_input());
      stages_[s].input.reserve(num_messages);
      stages_[s].gradient.reserve(num_messages);
    }
    stages_[0].input.assign(num_messages, 0);
    // After its last input of a stage the gradient still goes all the way to the first one.
    int64_t way = times.stages[0].backward_weight_ns;
    for (int s = 0; s < times.num_stages(); ++s) {
      Worker& worker = workers_[times.worker_of_stage[s]];
      const StageTimes& stage = times.stages[s];
      const int64_t urgent = stage.forward_ns + stage.backward_input_ns;
      worker.urgent_left += times.num_microbatches * urgent;
      worker.left += times.num_microbatches * stage.work_ns();
      worker.way = std::min(worker.way, way);
      if (s + 1 < times.num_stages()) way += times.gradient_ns(s) + stage.backward_input_ns;
    }
  }

  WorkOrder run() {
    for (size_t worker = 0; worker < workers_.size(); ++worker) wake(0, static_cast<int>(worker));
    while (!events_.empty()) {
      const auto [now, worker] = events_.top();
      events_.pop();
      if (now < workers_[worker].free_at) continue;  // it wakes again when it is free
      const Token token = choose(workers_[worker], now);
      if (token < 0) continue;
      if (is_late(workers_[worker], now)) return {};
      start(worker, token, now);
    }
    return std::move(order_);
  }

 private:
  struct StageState {
    int num_forward = 0, num_input = 0, num_weight = 0;
    std::vector<int64_t> input, gradient;  // arrivals that are known, by microbatch
    int64_t activation_lane = 0, gradient_lane = 0;
  };
  struct Worker {
    std::vector<int> stages;
    int64_t free_at = 0, held_bytes = 0;
    int64_t spare_bytes = 0;  // what forwards leave, so that a backward can always follow
    // Work that is not done, and that part of it that others wait for, with its way to the end.
    int64_t left = 0, urgent_left = 0, way = kNever;
  };
  struct Event {
    int64_t time;
    int worker;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : worker > other.worker;
    }
  };

  bool is_late(const Worker& worker, int64_t now) const {
    return now + std::max(worker.left,
                          worker.urgent_left == 0 ? 0 : worker.urgent_left + worker.way) >=
           give_up_ns_;
  }

  void wake(int64_t time, int worker) { events_.push({time, worker}); }

  // A forward leaves room for one microbatch in every deeper stage of the worker that holds none,
  // so that the oldest microbatch can always go on: that keeps shared memory from getting stuck.
  bool has_memory(const Worker& worker, int s) const {
    int64_t needed = worker.held_bytes + worker.spare_bytes;
    for (int deeper : worker.stages) {
      const StageState& stage = stages_[deeper];
      if (deeper > s && stage.num_forward > stage.num_input) continue;
      needed += times_.stages[deeper].kept_bytes;
      if (deeper == s) break;
    }
    return needed <= times_.memory_bytes[times_.worker_of_stage[s]];
  }

  bool may_forward(int s) const {
    const StageState& stage = stages_[s];
    return stage.num_forward < static_cast<int>(stage.input.size()) &&
           (rule_.depth.empty() || stage.num_forward - stage.num_input < rule_.depth[s]);
  }
  bool may_input(int s) const {
    const StageState& stage = stages_[s];
    if (stage.num_input >= static_cast<int>(stage.gradient.size())) return false;
    return !rule_.fills_first || stage.num_forward == times_.num_microbatches;
  }

  // -1: wait.
  Token choose(const Worker& worker, int64_t now) const {
    Token forward = -1, input = -1, weight = -1;
    int64_t next = kNever;
    bool is_full = false;
    for (int s : worker.stages) {
      const StageState& stage = stages_[s];
      if (stage.num_weight < stage.num_input) {
        if (rule_.is_fused) return token_of(s, Part::kWeight);
        if (weight < 0) weight = token_of(s, Part::kWeight);
      }
      if (may_input(s)) {
        const int64_t arrival = stage.gradient[stage.num_input];
        const bool fits = worker.held_bytes + times_.stages[s].added_by_input() <=
                          times_.memory_bytes[times_.worker_of_stage[s]];
        is_full |= !fits && arrival <= now;
        if (fits && arrival > now) next = std::min(next, arrival);
        if (fits && arrival <= now && input < 0) input = token_of(s, Part::kInput);
      }
      if (may_forward(s)) {
        const int64_t arrival = stage.input[stage.num_forward];
        if (!has_memory(worker, s)) {
          is_full |= arrival <= now;
          continue;
        }
        if (arrival > now) next = std::min(next, arrival);
        if (arrival <= now && forward < 0) forward = token_of(s, Part::kForward);
      }
    }
    if (rule_.forward_first && forward >= 0) return forward;
    if (input >= 0) return input;
    if (forward >= 0) return forward;
    if (weight < 0 || is_full || next == kNever) return weight;
    const int64_t duration = times_.stages[stage_of(weight)].backward_weight_ns;
    return (next - now) * 1000 >= duration * rule_.weight_gap ? weight : -1;
  }

  void start(int w, Token token, int64_t now) {
    Worker& worker = workers_[w];
    const int s = stage_of(token);
    const StageTimes& stage_times = times_.stages[s];
    StageState& stage = stages_[s];
    order_[w].push_back(token);
    switch (part_of(token)) {
      case Part::kForward: {
        const int64_t end = now + stage_times.forward_ns;
        worker.free_at = end;
        worker.left -= stage_times.forward_ns;
        worker.urgent_left -= stage_times.forward_ns;
        worker.held_bytes += stage_times.kept_bytes;
        ++stage.num_forward;
        if (s + 1 == times_.num_stages()) {
          stage.gradient.push_back(end);
        } else {
          send(end, s, s + 1, times_.borders[s].activation, stage.activation_lane,
               stages_[s + 1].input);
        }
        break;
      }
      case Part::kInput: {
        const int64_t end = now + stage_times.backward_input_ns;
        worker.free_at = end;
        worker.left -= stage_times.backward_input_ns;
        worker.urgent_left -= stage_times.backward_input_ns;
        worker.held_bytes -= stage_times.freed_by_input;
        ++stage.num_input;
        if (s > 0) {
          send(end, s, s - 1, times_.borders[s - 1].gradient, stage.gradient_lane,
               stages_[s - 1].gradient);
        }
        break;
      }
      case Part::kWeight:
        worker.free_at = now + stage_times.backward_weight_ns;
        worker.left -= stage_times.backward_weight_ns;
        worker.held_bytes -= stage_times.kept_bytes - stage_times.freed_by_input;
        ++stage.num_weight;
        break;
    }
    wake(worker.free_at, w);
  }

  void send(int64_t end, int from, int to, const LaneTimes& lane, int64_t& lane_free,
            std::vector<int64_t>& arrivals) {
    const int receiver = times_.worker_of_stage[to];
    int64_t arrival = end;
    if (receiver != times_.worker_of_stage[from]) {
      lane_free = std::max(lane_free, end) + lane.transfer_ns;
      arrival = lane_free + lane.latency_ns;
    }
    arrivals.push_back(arrival);
    wake(arrival, receiver);
  }

  const PipelineTimes& times_;
  const GreedyRule& rule_;
  const int64_t give_up_ns_;
  std::vector<StageState> stages_;
  std::vector<Worker> workers_;
  WorkOrder order_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

WorkOrder order_plainly(const PipelineTimes& times, const GreedyRule& rule, int64_t give_up_ns) {
  return Greedy(times, rule, give_up_ns).run();
}

}  // namespace skarv
