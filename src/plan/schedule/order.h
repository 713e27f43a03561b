// In what order the stages of one pipeline compute: a rule, played out in unit times (forward 1,
// each half of a backward 1), first come first served. No messages yet.
#pragma once

#include <string>
#include <vector>

#include "spec/schedule.h"

namespace skarv {

struct Work {
  ActionKind kind;  // forward, or one of the backwards
  int stage, microbatch;
  bool operator==(const Work&) const = default;
};

struct OrderRule {
  std::string name;
  std::string what;          // one line for people
  bool is_split = false;     // backward in two parts, weights fill the gaps
  bool fills_first = false;  // all forwards before the first backward
};

// The rules there are: "1f1b", "gpipe", "zero-bubble". 1F1B (PipeDream-Flush, 2006.09503) holds at
// most num_stages - s microbatches at stage s. Zero-bubble is greedy in the way of ZB-H1
// (2401.10241): the same bound for inputs, and at most num_stages microbatches whose weights wait.
const std::vector<OrderRule>& order_rules();
// Error: kNotFound with the nearest name.
Result<OrderRule> find_order_rule(const std::string& name);

// `worker_of_stage`: stages with the same worker share it (interleaving); workers count from 0.
// Returns the order of each worker.
std::vector<std::vector<Work>> order_pipeline(const OrderRule& rule,
                                              const std::vector<int>& worker_of_stage,
                                              int num_microbatches);

}  // namespace skarv
