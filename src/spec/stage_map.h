// Which rank exchanges what with whom at the borders of stages. Builders, the check, the simulator
// and the workers follow this one rule: member i of a stage is served by member i mod n of the n
// members of the stage that it receives from; from itself nothing is sent.
#pragma once

#include <vector>

#include "spec/plan.h"

namespace skarv {

class StageMap {
 public:
  // A place of a rank in a stage.
  struct Seat {
    int pipeline, stage, member;
  };

  explicit StageMap(const Island& island);

  int num_ranks() const { return static_cast<int>(seats_.size()); }
  int num_stages(int pipeline) const { return static_cast<int>(ranks_[pipeline].size()); }
  // By member of the tensor-parallel group.
  const std::vector<int>& ranks_of(int pipeline, int stage) const {
    return ranks_[pipeline][stage];
  }
  // In order of pipelines and stages.
  const std::vector<Seat>& seats_of(int rank) const { return seats_[rank]; }
  // Whether the rank sits in the stage.
  bool sits_in(int rank, int pipeline, int stage) const;

  // Rank whose output is the input of this seat; -1 in the first stage; itself: no message.
  int activation_source(const Seat& seat) const;
  // Rank that returns the gradient of this seat's output; -1 in the last stage.
  int gradient_source(const Seat& seat) const;
  // Other ranks that this seat sends its output (the gradient of its input) to, ascending by
  // member.
  std::vector<int> activation_targets(const Seat& seat) const;
  std::vector<int> gradient_targets(const Seat& seat) const;

 private:
  int source(const Seat& seat, int from_stage) const;
  std::vector<int> targets(const Seat& seat, int to_stage) const;

  std::vector<std::vector<std::vector<int>>> ranks_;  // [pipeline][stage][member]
  std::vector<std::vector<Seat>> seats_;              // [rank]
};

}  // namespace skarv
