#include <algorithm>
#include <set>
#include <utility>

#include "plan/search/changes.h"
#include "plan/search/edits.h"

namespace skarv {
namespace {

constexpr size_t kReliefsOfStage = 2;  // that are tried; of large islands half as many

bool move_one_layer(Trials& trials, size_t island, size_t p, size_t from, size_t to,
                    const RecomputeChanges& changes) {
  bool is_better = false;
  for (int changed : changes) {
    is_better |= trials.attempt_pipelines(island, p, [&](Pipeline& pipeline) {
      std::vector<Stage>& stages = pipeline.stages;
      if ((changed & 1) != 0) stages[from].recompute = Recompute::kNone;
      if ((changed & 2) != 0) stages[to].recompute = Recompute::kFull;
      return move_layer(from, to, pipeline);
    });
  }
  return is_better;
}

}  // namespace

bool relieve_stages(Trials& trials, size_t island, size_t p) {
  bool is_better = false;
  for (bool is_going = true; is_going && trials.has_time();) {
    is_going = false;
    const std::vector<PipelineUse>* use = trials.use_of(island);
    if (use == nullptr) break;
    const std::vector<size_t> stages = trials.telling_stages(island, p);
    std::vector<LayerMove> moves = reliefs(trials.pipelines(island)[p], (*use)[p], stages);
    const size_t most = (trials.is_large(island) ? 1 : kReliefsOfStage) * stages.size();
    moves.resize(std::min(moves.size(), most));
    for (const LayerMove& move : moves) {
      const int changes = (move.keeps_from ? 1 : 0) + (move.recomputes_to ? 2 : 0);
      is_going = move_one_layer(trials, island, p, move.from, move.to, {changes});
      if (is_going) break;
    }
    is_better |= is_going;
  }
  return is_better;
}

bool move_layers(Trials& trials, size_t island, size_t p, const RecomputeChanges& changes) {
  std::set<size_t> borders;  // behind these stages
  for (size_t s : trials.telling_stages(island, p)) {
    if (s > 0) borders.insert(s - 1);
    if (s + 1 < trials.num_stages(island, p)) borders.insert(s);
  }
  bool is_better = false;
  for (size_t s : borders) {
    is_better |= move_one_layer(trials, island, p, s + 1, s, changes);
    is_better |= move_one_layer(trials, island, p, s, s + 1, changes);
  }
  return is_better;
}

bool move_layers_far(Trials& trials, size_t island) {
  bool is_better = false;
  for (size_t p : trials.kinds_of(island)) {
    const std::vector<size_t> stages = trials.telling_stages(island, p);
    std::vector<std::pair<size_t, size_t>> pairs;
    for (size_t from : stages) {
      for (size_t to : stages) {
        if (from + 1 < to) pairs.emplace_back(from, to);
      }
    }
    std::ranges::stable_sort(pairs, {}, [](const auto& pair) { return pair.second - pair.first; });
    for (const auto& [left, right] : pairs) {
      is_better |= move_one_layer(trials, island, p, right, left, {0, 1, 2, 3});
      is_better |= move_one_layer(trials, island, p, left, right, {0, 1, 2, 3});
    }
  }
  return is_better;
}

bool move_two_borders(Trials& trials, size_t island) {
  bool is_better = false;
  for (size_t p : trials.kinds_of(island)) {
    const size_t num_borders = trials.num_stages(island, p) - 1;
    for (size_t first = 0; first < num_borders; ++first) {
      for (size_t second = first + 1; second < num_borders; ++second) {
        for (int by : {1, -1}) {
          for (int with : {by, -by}) {
            is_better |= trials.attempt_pipelines(island, p, [&](Pipeline& pipeline) {
              return move_borders({{first, by}, {second, with}}, pipeline);
            });
          }
        }
      }
    }
  }
  return is_better;
}

bool toggle_recompute_in(Trials& trials, size_t island, size_t p) {
  bool is_better = false;
  for (size_t s : trials.telling_stages(island, p)) {
    is_better |= trials.attempt_pipelines(island, p, [&](Pipeline& pipeline) {
      toggle_recompute(pipeline.stages[s]);
      return true;
    });
  }
  return is_better;
}

}  // namespace skarv
