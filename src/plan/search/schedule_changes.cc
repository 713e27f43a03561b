#include <optional>

#include "plan/search/changes.h"
#include "plan/search/interleave.h"

namespace skarv {
namespace {

constexpr const char* kSplitOrNot[] = {"1f1b", "zero-bubble"};  // backwards

}  // namespace

bool interleave_any(Trials& trials, const PlannerLimits& limits, size_t island) {
  if (!limits.allows("zero-bubble")) return false;
  bool is_better = trials.attempt(island, island, [&](Island& trial, Island&) {
    for (Pipeline& pipeline : trial.pipelines) {
      if (pipeline.stages.size() > 1) pipeline.schedule = "zero-bubble";
    }
    std::optional<Island> changed = interleave(trial);
    if (changed) trial = std::move(*changed);
    return changed.has_value();
  });
  if (trials.pipelines(island).size() == 1) return is_better;
  for (size_t p : trials.kinds_of(island)) {
    is_better |= trials.attempt_pipelines(island, p, [](Pipeline& pipeline) {
      Island alone{"", {pipeline}};
      alone.pipelines[0].schedule = "zero-bubble";
      const std::optional<Island> changed = interleave(alone);
      if (changed) pipeline = changed->pipelines[0];
      return changed.has_value();
    });
  }
  return is_better;
}

bool change_all(Trials& trials, const PlannerLimits& limits, size_t island) {
  bool is_better = false;
  for (int size : {1, 2, 4, 8}) {
    is_better |= trials.attempt(island, island, [&](Island& trial, Island&) {
      bool is_changed = false;
      for (Pipeline& pipeline : trial.pipelines) {
        if (size > pipeline.samples) return false;
        is_changed |= pipeline.microbatch != size;
        pipeline.microbatch = size;
      }
      return is_changed;
    });
  }
  for (const char* name : kSplitOrNot) {
    if (!limits.allows(name)) continue;
    is_better |= trials.attempt(island, island, [&](Island& trial, Island&) {
      bool is_changed = false;
      for (Pipeline& pipeline : trial.pipelines) {
        if (pipeline.stages.size() < 2) continue;
        is_changed |= pipeline.schedule != name;
        pipeline.schedule = name;
      }
      return is_changed;
    });
  }
  return is_better;
}

bool change_schedule(Trials& trials, const PlannerLimits& limits, size_t island, size_t p) {
  if (trials.num_stages(island, p) < 2) return false;
  bool is_better = false;
  for (const char* name : kSplitOrNot) {
    if (!limits.allows(name)) continue;
    is_better |= trials.attempt_pipelines(island, p, [&](Pipeline& pipeline) {
      const bool is_changed = pipeline.schedule != name;
      pipeline.schedule = name;
      return is_changed;
    });
  }
  return is_better;
}

}  // namespace skarv
