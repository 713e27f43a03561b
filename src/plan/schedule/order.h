// In what order the stages of one pipeline compute, by name of a rule. No messages yet.
#pragma once

#include <string>
#include <vector>

#include "plan/schedule/zero_bubble.h"
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
  bool fills_first = false;  // all forwards before the first backward, if all fit in memory
};

// The rules there are: "1f1b", "gpipe", "zero-bubble". 1F1B (PipeDream-Flush, 2006.09503) holds at
// most num_stages - s microbatches at stage s, or as many as bridge the round trip if that is
// faster. Several stages of one worker are interleaved by every rule.
const std::vector<OrderRule>& order_rules();
// Error: kNotFound with the nearest name.
Result<OrderRule> find_order_rule(const std::string& name);

struct OrderedPipeline {
  std::vector<std::vector<Work>> work;  // by worker
  Played played;                        // what comes of it with these times
};

// Deterministic. Pure: any thread. Error: check_pipeline_times'.
Result<OrderedPipeline> order_pipeline(const OrderRule& rule, const PipelineTimes& times,
                                       const OrderOptions& options = {});

}  // namespace skarv
