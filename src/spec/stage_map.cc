#include "spec/stage_map.h"

#include <map>

namespace skarv {

StageMap::StageMap(const Island& island) {
  std::map<std::string, int> rank_of;
  for (const std::string& device : island.devices()) {
    rank_of.emplace(device, static_cast<int>(rank_of.size()));
  }
  seats_.resize(rank_of.size());
  for (const Pipeline& pipeline : island.pipelines) {
    const int pipeline_index = static_cast<int>(ranks_.size());
    std::vector<std::vector<int>>& stages = ranks_.emplace_back();
    for (const Stage& stage : pipeline.stages) {
      const int stage_index = static_cast<int>(stages.size());
      std::vector<int>& members = stages.emplace_back();
      for (const std::string& device : stage.devices) {
        const int rank = rank_of.at(device);
        seats_[rank].push_back({pipeline_index, stage_index, static_cast<int>(members.size())});
        members.push_back(rank);
      }
    }
  }
}

bool StageMap::sits_in(int rank, int pipeline, int stage) const {
  for (int member : ranks_of(pipeline, stage)) {
    if (member == rank) return true;
  }
  return false;
}

int StageMap::source(const Seat& seat, int from_stage) const {
  if (from_stage < 0 || from_stage >= num_stages(seat.pipeline)) return -1;
  const std::vector<int>& servers = ranks_of(seat.pipeline, from_stage);
  return servers[seat.member % servers.size()];
}

std::vector<int> StageMap::targets(const Seat& seat, int to_stage) const {
  std::vector<int> result;
  if (to_stage < 0 || to_stage >= num_stages(seat.pipeline)) return result;
  const std::vector<int>& mine = ranks_of(seat.pipeline, seat.stage);
  const std::vector<int>& receivers = ranks_of(seat.pipeline, to_stage);
  for (size_t i = seat.member; i < receivers.size(); i += mine.size()) {
    if (receivers[i] != mine[seat.member]) result.push_back(receivers[i]);
  }
  return result;
}

int StageMap::activation_source(const Seat& seat) const { return source(seat, seat.stage - 1); }
int StageMap::gradient_source(const Seat& seat) const { return source(seat, seat.stage + 1); }
std::vector<int> StageMap::activation_targets(const Seat& seat) const {
  return targets(seat, seat.stage + 1);
}
std::vector<int> StageMap::gradient_targets(const Seat& seat) const {
  return targets(seat, seat.stage - 1);
}

}  // namespace skarv
