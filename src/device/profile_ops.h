// Where the time of a step goes, op by op: a callback that libtorch makes around every op of every
// thread. Costs about a microsecond an op, so only for steps that are profiled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace skarv {

struct OpProfile {
  struct Row {
    std::string op;  // "aten::mm"
    int64_t num_calls = 0;
    double seconds = 0;        // on the calling thread, less the ops that it called itself
    bool is_fallback = false;  // no kernel of the device: its plug-in's fallback does it
  };
  std::vector<Row> rows;        // most seconds first
  double seconds = 0;           // of all ops
  double fallback_seconds = 0;  // of the fallback rows
  double fallback_share() const { return seconds > 0 ? fallback_seconds / seconds : 0; }
};

// {"seconds": s, "fallback_share": f, "ops": [{"op": .., "calls": n, "seconds": s, "fallback": b}]}
Json to_json(const OpProfile& profile);

// Counts from construction until `stop`, also in the threads of the backward pass. On a device with
// streams these are the seconds in which the host gave work, not those in which the device did it.
// Only one at a time in a process; construct and stop it while no op runs.
class OpProfiler {
 public:
  OpProfiler();
  ~OpProfiler();
  OpProfiler(const OpProfiler&) = delete;
  OpProfiler& operator=(const OpProfiler&) = delete;

  OpProfile stop();  // the second call returns an empty profile

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skarv
