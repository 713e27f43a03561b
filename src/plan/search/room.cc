#include "plan/search/room.h"

#include <map>

#include "plan/schedule/goal.h"
#include "plan/schedule/island_times.h"

namespace skarv {
namespace {

// By the first device of each stage.
std::map<std::string, int64_t> parameters_of(const Pipeline& pipeline, const Workload& workload) {
  std::map<std::string, int64_t> result;
  for (const Stage& stage : pipeline.stages) {
    for (int layer = stage.first; layer < stage.last; ++layer) {
      result[stage.devices[0]] += workload.size(layer).parameters;
    }
  }
  return result;
}

}  // namespace

Result<int64_t> guessed_floor(const Pipeline& changed, const Pipeline& before,
                              const PipelineUse& use, const StepWorld& world) {
  const std::map<std::string, int64_t> now = parameters_of(before, world.workload);
  const std::map<std::string, int64_t> then = parameters_of(changed, world.workload);
  std::map<std::string, int64_t> room;
  for (size_t s = 0; s < before.stages.size(); ++s) {
    const std::string& device = before.stages[s].devices[0];
    const double grows = static_cast<double>(then.at(device)) / static_cast<double>(now.at(device));
    const auto held = static_cast<double>(use.held_bytes[s]);
    room[device] = use.room_bytes[s] - static_cast<int64_t>(held * (grows - 1));
  }
  const Island alone{"", {changed}};
  SKARV_ASSIGN(
      const std::vector<PipelineTimes> times,
      island_times({alone, world.workload, world.cluster, world.devices, world.links}, room));
  return Bounds(times[0]).makespan_ns();
}

}  // namespace skarv
