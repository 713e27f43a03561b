#include "spec/plan.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace skarv {

int Pipeline::microbatch_size(int index) const {
  const int64_t begin = int64_t{index} * microbatch;
  return static_cast<int>(std::clamp<int64_t>(samples - begin, 0, microbatch));
}

int64_t Island::samples() const {
  int64_t total = 0;
  for (const Pipeline& pipeline : pipelines) total += pipeline.samples;
  return total;
}

std::vector<std::string> Island::devices() const {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> seen;
  for (const Pipeline& pipeline : pipelines) {
    for (const Stage& stage : pipeline.stages) {
      for (const std::string& device : stage.devices) {
        if (seen.insert(device).second) names.push_back(device);
      }
    }
  }
  return names;
}

const Island* Plan::find_island(const std::string& name) const {
  for (const Island& island : islands) {
    if (island.name == name) return &island;
  }
  return nullptr;
}

const Island* Plan::island_of(const std::string& device) const {
  for (const Island& island : islands) {
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        if (std::find(stage.devices.begin(), stage.devices.end(), device) != stage.devices.end()) {
          return &island;
        }
      }
    }
  }
  return nullptr;
}

Digest digest_of(const Plan& plan) { return digest_of(std::string_view(to_json(plan).dump())); }

}  // namespace skarv
