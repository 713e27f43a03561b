#include "plan/search/pipeline_use.h"

#include <algorithm>
#include <functional>
#include <map>

namespace skarv {
namespace {

constexpr size_t kMostMoves = 1000;

bool is_compute(ActionKind kind) {
  return kind == ActionKind::kForward || kind == ActionKind::kBackward ||
         kind == ActionKind::kBackwardInput || kind == ActionKind::kBackwardWeight;
}

struct Latest {
  int64_t clip = 0;           // when it begins
  std::vector<int64_t> ends;  // until when its work may end for that, by rank
};

// Groups reduce in the order of their numbers, on every rank.
Latest latest_ends(std::vector<int64_t> ends, const IslandStep& step) {
  for (size_t group = 0; group < step.loads.size(); ++group) {
    const std::vector<int>& members = step.loads[group].members;
    int64_t begin = 0;
    for (int rank : members) begin = std::max(begin, ends[rank]);
    for (int rank : members) ends[rank] = begin + step.groups[group].reduce_ns;
  }
  Latest latest{std::ranges::max(ends), {}};
  latest.ends.assign(ends.size(), latest.clip);
  for (size_t group = step.loads.size(); group-- > 0;) {
    const std::vector<int>& members = step.loads[group].members;
    int64_t end = latest.clip;
    for (int rank : members) end = std::min(end, latest.ends[rank]);
    for (int rank : members) latest.ends[rank] = end - step.groups[group].reduce_ns;
  }
  return latest;
}

}  // namespace

std::vector<PipelineUse> use_of(const Island& island, const IslandStep& step) {
  const std::vector<std::string> devices = island.devices();
  std::map<std::string, size_t> rank_of;
  for (const std::string& device : devices) rank_of.emplace(device, rank_of.size());
  std::vector<int64_t> ends(devices.size(), 0);  // of messages and computing, by rank
  std::vector<PipelineUse> result;
  for (const Pipeline& pipeline : island.pipelines) {
    PipelineUse& use = result.emplace_back();
    for (size_t s = 0; s < pipeline.stages.size(); ++s) {
      int64_t busy = 0;
      for (const std::string& device : pipeline.stages[s].devices) {
        const size_t rank = rank_of.at(device);
        const int folded = step.fold.folded_rank[rank];
        const std::vector<Action>& actions = step.schedule.actions[folded];
        int64_t mine = 0;
        for (size_t i = 0; i < actions.size() && actions[i].pipeline >= 0; ++i) {
          const ActionSpan& span = step.trace.spans[folded][i];
          ends[rank] = std::max(ends[rank], span.end);
          const bool is_here = actions[i].stage == static_cast<int>(s);
          if (is_here && is_compute(actions[i].kind)) mine += span.end - span.begin;
        }
        busy = std::max(busy, mine);
      }
      use.busy_ns.push_back(busy);
      DeviceMemory memory =
          step.memory[step.fold.folded_rank[rank_of.at(pipeline.stages[s].devices[0])]];
      memory.activations = 0;
      use.held_bytes.push_back(memory.weights + memory.gradients + memory.optimizer);
      use.room_bytes.push_back(activation_room(memory));
    }
  }
  for (size_t p = 0; p < result.size(); ++p) {
    for (const Stage& stage : island.pipelines[p].stages) {
      int64_t& end = result[p].stage_end_ns.emplace_back(0);
      for (const std::string& device : stage.devices) end = std::max(end, ends[rank_of.at(device)]);
    }
  }
  const Latest latest = latest_ends(ends, step);
  for (size_t p = 0; p < result.size(); ++p) {
    int64_t spare = latest.clip;
    for (const Stage& stage : island.pipelines[p].stages) {
      for (const std::string& device : stage.devices) {
        const size_t rank = rank_of.at(device);
        spare = std::min(spare, latest.ends[rank] - ends[rank]);
      }
    }
    result[p].end_ns = latest.clip - spare;
  }
  return result;
}

int64_t tail_ns(int64_t step_ns, const std::vector<PipelineUse>& use) {
  return step_ns - std::ranges::max_element(use, {}, &PipelineUse::end_ns)->end_ns;
}

int64_t microbatch_ns(const Pipeline& pipeline, const PipelineUse& use) {
  return use.end_ns / (pipeline.num_microbatches() + std::ssize(pipeline.stages) - 1);
}

std::vector<SampleMove> even_out(const std::vector<UsedIsland>& islands) {
  struct Place {
    size_t island, pipeline;
    int64_t end, each, samples, size;  // of a step as far as it depends on this pipeline
  };
  std::vector<Place> places;
  for (size_t i = 0; i < islands.size(); ++i) {
    const std::vector<PipelineUse>& use = *islands[i].use;
    for (size_t p = 0; p < use.size(); ++p) {
      const Pipeline& pipeline = islands[i].island->pipelines[p];
      places.push_back({i, p, use[p].end_ns + islands[i].tail_ns, microbatch_ns(pipeline, use[p]),
                        pipeline.samples, pipeline.microbatch});
    }
  }
  std::vector<SampleMove> moves;
  while (moves.size() < kMostMoves) {
    const auto giver = std::ranges::max_element(places, {}, &Place::end);
    const auto taker = std::ranges::min_element(
        places, {}, [](const Place& place) { return place.end + place.each; });
    if (giver->samples <= giver->size || taker->end + taker->each >= giver->end) break;
    // Whole microbatches of the one that gives; the other may need more or less of its own.
    const int64_t moved = giver->size;
    giver->samples -= moved;
    giver->end -= giver->each;
    taker->samples += moved;
    taker->end += taker->each * moved / taker->size;
    moves.push_back({giver->island, giver->pipeline, taker->island, taker->pipeline, moved});
  }
  return moves;
}

std::vector<LayerMove> reliefs(const Pipeline& pipeline, const PipelineUse& use,
                               const std::vector<size_t>& stages) {
  // Of so many layers more; a recomputation is a third of what is left without it.
  const auto busy = [&](size_t s, int more, Recompute recompute) {
    const Stage& stage = pipeline.stages[s];
    const int64_t layers = stage.last - stage.first;
    const int64_t ns = use.busy_ns[s] * (layers + more) / layers;
    if (stage.recompute == recompute) return ns;
    return recompute == Recompute::kFull ? ns + ns / 3 : ns - ns / 4;
  };
  std::vector<LayerMove> moves;
  for (size_t from : stages) {
    const Stage& giver = pipeline.stages[from];
    if (giver.last - giver.first == 1) continue;
    for (size_t to : stages) {
      if (from == to) continue;
      const Stage& taker = pipeline.stages[to];
      for (bool keeps : {false, true}) {
        for (bool recomputes : {false, true}) {
          if (keeps && giver.recompute == Recompute::kNone) continue;
          if (recomputes && taker.recompute == Recompute::kFull) continue;
          const int64_t after =
              std::max(busy(from, -1, keeps ? Recompute::kNone : giver.recompute),
                       busy(to, 1, recomputes ? Recompute::kFull : taker.recompute));
          const int64_t gain = std::max(use.busy_ns[from], use.busy_ns[to]) - after;
          if (gain > 0) moves.push_back({from, to, keeps, recomputes, gain});
        }
      }
    }
  }
  std::ranges::stable_sort(moves, std::greater<>(), &LayerMove::gain_ns);
  return moves;
}

}  // namespace skarv
