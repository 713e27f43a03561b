#include "plan/search/interleave.h"

#include <algorithm>
#include <set>

namespace skarv {
namespace {

bool can_interleave(const Pipeline& pipeline) {
  if (pipeline.schedule != "zero-bubble" || pipeline.stages.size() < 2) return false;
  std::set<std::string> devices;
  for (const Stage& stage : pipeline.stages) {
    if (stage.last - stage.first < 2) return false;
    for (const std::string& device : stage.devices) {
      if (!devices.insert(device).second) return false;
    }
  }
  return true;
}

}  // namespace

std::optional<Island> interleave(const Island& island) {
  Island changed = island;
  bool is_changed = false;
  for (Pipeline& pipeline : changed.pipelines) {
    if (!can_interleave(pipeline)) continue;
    is_changed = true;
    std::vector<Stage> stages;
    int next = 0;
    for (bool is_second : {false, true}) {
      for (const Stage& whole : pipeline.stages) {
        const int layers = whole.last - whole.first, second = layers / 2;
        Stage& half = stages.emplace_back(whole);
        half.first = next;
        next += is_second ? second : layers - second;
        half.last = next;
      }
    }
    pipeline.stages = std::move(stages);
  }
  if (!is_changed) return std::nullopt;
  return changed;
}

}  // namespace skarv
