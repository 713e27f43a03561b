// What the pipelines of an island do in a step that was played, and what that says of moving work
// between them: which changes promise most, before any of them is played.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/simulate/island_step.h"

namespace skarv {

struct PipelineUse {
  // When the clip begins, less what all its work might end later without delaying that: the one
  // that the others wait for, in a reduce or in one that comes of it, ends last.
  int64_t end_ns = 0;
  std::vector<int64_t> busy_ns;       // computing, by stage; of its first device
  std::vector<int64_t> stage_end_ns;  // until when its devices work before they reduce
  // Of its first device: weights, gradients and the optimizer's state; what is left for
  // activations.
  std::vector<int64_t> held_bytes, room_bytes;
};

// By pipeline. REQUIRES: `step` is that island's, spans were kept.
std::vector<PipelineUse> use_of(const Island& island, const IslandStep& step);

// What the step takes after its last pipeline.
int64_t tail_ns(int64_t step_ns, const std::vector<PipelineUse>& use);

// An island with what its pipelines do, and what comes after them.
struct UsedIsland {
  const Island* island;
  const std::vector<PipelineUse>* use;
  int64_t tail_ns = 0;
};

// A microbatch that goes from the pipeline that is thought to end last to one that then ends
// first. Places in the vector and in the island.
struct SampleMove {
  size_t from_island, from, to_island, to;
  int64_t samples;
};

// One after the other as long as that makes the longest step shorter, as it is thought.
std::vector<SampleMove> even_out(const std::vector<UsedIsland>& islands);

// What a microbatch more or less is thought to be worth: what the others take on average.
int64_t microbatch_ns(const Pipeline& pipeline, const PipelineUse& use);

// A layer that goes from one stage to another, whether they are next to each other or not, and what
// recomputes from then on.
struct LayerMove {
  size_t from, to;
  bool keeps_from = false, recomputes_to = false;  // else as before
  int64_t gain_ns = 0;  // what it takes off the longer one of the two stages, as it is thought
};

// Those between two of these stages that gain something, the most first.
std::vector<LayerMove> reliefs(const Pipeline& pipeline, const PipelineUse& use,
                               const std::vector<size_t>& stages);

}  // namespace skarv
