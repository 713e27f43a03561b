#include "plan/schedule/play.h"

#include <algorithm>

namespace skarv {

Player::Player(const PipelineTimes& times) : times_(&times) {
  const int num_stages = times.num_stages();
  lanes_.resize(3 * static_cast<size_t>(num_stages));
  const auto connect = [&](Token from, Token to, int border, const LaneTimes& lane) {
    lanes_[from].target = to;
    lanes_[from].receiver = times.worker_of_stage[stage_of(to)];
    lanes_[to].source = from;
    if (times.is_local(border)) return;
    lanes_[from].transfer = lane.transfer_ns;
    lanes_[from].latency = lane.latency_ns;
  };
  std::vector<size_t> num_tokens(times.num_workers(), 0);
  for (int s = 0; s < num_stages; ++s) {
    const StageTimes& stage = times.stages[s];
    lanes_[token_of(s, Part::kForward)].duration = stage.forward_ns;
    lanes_[token_of(s, Part::kInput)].duration = stage.backward_input_ns;
    lanes_[token_of(s, Part::kWeight)].duration = stage.backward_weight_ns;
    num_tokens[times.worker_of_stage[s]] += 3 * static_cast<size_t>(times.num_microbatches);
    if (s == 0) continue;
    const BorderTimes& border = times.borders[s - 1];
    connect(token_of(s - 1, Part::kForward), token_of(s, Part::kForward), s - 1, border.activation);
    connect(token_of(s, Part::kInput), token_of(s - 1, Part::kInput), s - 1, border.gradient);
  }
  size_t total = 0;
  for (size_t count : num_tokens) {
    first_.push_back(total);
    total += count;
  }
  starts_.resize(total);
  arrival_.resize(lanes_.size() * times.num_microbatches);
}

Played Player::play(const WorkOrder& order) {
  num_started_.assign(order.size(), 0);
  clock_.assign(order.size(), 0);
  count_.assign(lanes_.size(), 0);
  return resume(order);
}

void Player::rewind(const WorkOrder& order, int worker, int index) {
  const int64_t from =
      index == 0 ? 0 : start(worker, index - 1) + duration(order[worker][index - 1]);
  for (int w = 0; w < static_cast<int>(order.size()); ++w) {
    // What starts earlier cannot have been caused by what changes.
    int left = num_started_[w];
    while (left > 0 && (w == worker ? left > index : start(w, left - 1) >= from)) {
      --count_[order[w][--left]];
    }
    num_started_[w] = left;
    clock_[w] = left == 0 ? 0 : start(w, left - 1) + duration(order[w][left - 1]);
  }
}

Played Player::resume(const WorkOrder& order) {
  awaited_.assign(order.size(), -1);
  ready_.clear();
  for (size_t worker = order.size(); worker-- > 0;) ready_.push_back(static_cast<int>(worker));
  size_t num_finished = 0, num_started = 0;
  while (!ready_.empty()) {
    const int worker = ready_.back();
    ready_.pop_back();
    num_finished += advance(worker, order[worker]);
  }
  Played played;
  for (size_t worker = 0; worker < order.size(); ++worker) {
    num_started += num_started_[worker];
    if (order[worker].empty()) continue;
    const int64_t span = clock_[worker] - starts_[first_[worker]];
    played.makespan_ns = std::max(played.makespan_ns, clock_[worker]);
    played.longest_ns = std::max(played.longest_ns, span);
    played.total_ns += span;
  }
  played.is_valid = num_finished == order.size() && num_started == starts_.size();
  return played;
}

bool Player::advance(int worker, const std::vector<Token>& order) {
  int64_t* starts = &starts_[first_[worker]];
  int64_t clock = clock_[worker];
  const int num_before = num_started_[worker], end = static_cast<int>(order.size());
  int i = num_before;
  for (; i < end; ++i) {
    const Token token = order[i];
    const Lane& lane = lanes_[token];
    if (lane.source >= 0) {
      if (count_[token] >= count_[lane.source]) {
        awaited_[worker] = token;
        break;
      }
      clock = std::max(clock, arrival(token, count_[token]));
    }
    starts[i] = clock;
    clock += lane.duration;
    if (lane.target >= 0) deliver(token, clock);
    ++count_[token];
  }
  num_played_ += i - num_before;
  num_started_[worker] = i;
  clock_[worker] = clock;
  return i == end;
}

void Player::deliver(Token token, int64_t end) {
  const Lane& lane = lanes_[token];
  int64_t* arrivals = &arrival(lane.target, 0);
  const int microbatch = count_[token];
  const int64_t lane_free = microbatch == 0 ? 0 : arrivals[microbatch - 1] - lane.latency;
  arrivals[microbatch] = std::max(lane_free, end) + lane.transfer + lane.latency;
  if (awaited_[lane.receiver] != lane.target) return;
  awaited_[lane.receiver] = -1;
  ready_.push_back(lane.receiver);
}

int64_t peak_bytes(const std::vector<Token>& order, const PipelineTimes& times) {
  int64_t held = 0, peak = 0;
  std::vector<int> done(3 * times.stages.size(), 0);
  for (Token token : order) {
    const StageTimes& stage = times.stages[stage_of(token)];
    ++done[token];
    switch (part_of(token)) {
      case Part::kForward:
        held += stage.kept_bytes;
        peak = std::max(peak, held);
        continue;
      case Part::kInput:
        held -= stage.freed_by_input;
        peak = std::max(peak, held);
        break;
      case Part::kWeight:
        held -= stage.kept_bytes - stage.freed_by_input;
        break;
    }
    if (done[token] > done[token - 1]) return -1;
  }
  return peak;
}

bool fits_memory(const WorkOrder& order, const PipelineTimes& times) {
  for (size_t worker = 0; worker < order.size(); ++worker) {
    const int64_t peak = peak_bytes(order[worker], times);
    if (peak < 0 || peak > times.memory_bytes[worker]) return false;
  }
  return true;
}

}  // namespace skarv
