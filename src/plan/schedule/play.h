// Orders of work, and what comes of them: the same rules by which workers execute action lists and
// the simulator plays them (spec/schedule.h), reduced to one pipeline.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/schedule/pipeline_times.h"

namespace skarv {

// A piece of work without its microbatch: each stage takes its microbatches in order, separately
// for forwards, backwards for inputs, and weights.
using Token = int32_t;
enum class Part : int { kForward = 0, kInput = 1, kWeight = 2 };
constexpr Token token_of(int stage, Part part) { return stage * 3 + static_cast<int>(part); }
constexpr int stage_of(Token token) { return token / 3; }
constexpr Part part_of(Token token) { return static_cast<Part>(token % 3); }

// By worker, in order of execution.
using WorkOrder = std::vector<std::vector<Token>>;

struct Played {
  bool is_valid = false;  // all work is there, and nobody waits for ever
  int64_t makespan_ns = 0;
  // Longest stage time: most over the workers of (end of the last work - start of the first).
  int64_t longest_ns = 0;
  // All those times together: tells apart what the two above do not.
  int64_t total_ns = 0;
};

// Plays orders of one pipeline and keeps its buffers, so that trying many is cheap. One thread at a
// time. The times outlive it. Memory is not looked at: see peak_bytes.
class Player {
 public:
  explicit Player(const PipelineTimes& times);

  Played play(const WorkOrder& order);

  // Changing an order step by step: rewind to just before the index-th work of a worker, change
  // that worker's order from there on, resume. REQUIRES: the last play of `order` was valid.
  void rewind(const WorkOrder& order, int worker, int index);
  Played resume(const WorkOrder& order);

  // Start of the index-th work of a worker in the last play.
  int64_t start(int worker, int index) const { return starts_[first_[worker] + index]; }
  int64_t duration(Token token) const { return lanes_[token].duration; }
  // Pieces of work played so far: the cost of all that was tried, the same on every machine.
  int64_t num_played() const { return num_played_; }
  const PipelineTimes& times() const { return *times_; }

 private:
  // Runs a worker until it waits; true when it has finished.
  bool advance(int worker, const std::vector<Token>& order);
  void deliver(Token token, int64_t end);
  int64_t& arrival(Token token, int microbatch) {
    return arrival_[static_cast<size_t>(token) * times_->num_microbatches + microbatch];
  }

  struct Lane {
    int64_t duration = 0, transfer = 0, latency = 0;
    Token source = -1, target = -1;  // -1: nobody
    int receiver = -1;               // the target's worker
  };

  const PipelineTimes* times_;
  std::vector<Lane> lanes_;       // by token
  std::vector<size_t> first_;     // by worker: of its starts
  std::vector<int64_t> starts_;   // by worker and index
  std::vector<int> num_started_;  // by worker
  std::vector<int64_t> clock_;    // by worker
  std::vector<int> count_;        // by token: done so far
  std::vector<int64_t> arrival_;  // by token of the receiver, and microbatch
  std::vector<Token> awaited_;    // by worker: what it waits for, or -1
  std::vector<int> ready_;        // workers that may go on
  int64_t num_played_ = 0;
};

// Highest bytes of activations in one worker's order, whatever it waits for; -1: a piece of work
// before what it needs on the same stage.
int64_t peak_bytes(const std::vector<Token>& order, const PipelineTimes& times);
// No worker of the order beyond its limit.
bool fits_memory(const WorkOrder& order, const PipelineTimes& times);

}  // namespace skarv
