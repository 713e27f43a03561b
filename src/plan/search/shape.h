// Plans while they are compared: in terms of pools, not of devices. plan/search/assembly.h turns
// the chosen one into a spec::Plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace skarv {

enum class Flow { k1f1b, kZeroBubble };
inline const char* name_of(Flow flow) { return flow == Flow::k1f1b ? "1f1b" : "zero-bubble"; }

struct StageShape {
  int pool = 0, tensor_parallel = 1;
  int first = 0, last = 0;  // layers [first, last)
  bool recompute = false;

  bool operator==(const StageShape&) const = default;
};

struct PipelineShape {
  std::vector<StageShape> stages;
  int microbatch = 1;
  Flow flow = Flow::k1f1b;

  int num_stages() const { return static_cast<int>(stages.size()); }
  bool operator==(const PipelineShape&) const = default;
};

// Equal pipelines. Their devices are dealt out stage by stage (the replicas of a stage lie side by
// side, so gradients stay on a host where they can) or, `is_compact`, pipeline by pipeline (so
// activations do); together with those of groups that differ from it in samples alone.
struct PipelineGroup {
  PipelineShape pipeline;
  int replicas = 1;
  int dealt_together = 0;  // replicas of all such groups, if more than its own
  bool is_compact = false;
  int64_t samples = 0;  // of each replica, a step
  double slowness = 1;  // simulated over estimated time, once known; estimates are scaled by it

  int64_t num_microbatches() const {
    return (samples + pipeline.microbatch - 1) / pipeline.microbatch;
  }
};

// Whether they differ in number and samples alone.
inline bool is_alike(const PipelineGroup& a, const PipelineGroup& b) {
  return a.pipeline == b.pipeline && a.is_compact == b.is_compact;
}

struct IslandShape {
  std::vector<PipelineGroup> groups;
  int64_t step_ns = 0;  // as estimated

  int num_pipelines() const {
    int count = 0;
    for (const PipelineGroup& group : groups) count += group.replicas;
    return count;
  }
  int num_stages() const {
    int count = 0;
    for (const PipelineGroup& group : groups) count += group.replicas * group.pipeline.num_stages();
    return count;
  }
  int64_t samples() const {
    int64_t total = 0;
    for (const PipelineGroup& group : groups) total += group.samples * group.replicas;
    return total;
  }
};

}  // namespace skarv
