#include "plan/search/polish.h"

#include <algorithm>

#include "plan/search/cuts.h"
#include "plan/search/island_time.h"

namespace skarv {
namespace {

class Polisher {
 public:
  Polisher(const World& world, const Supply& whole, int64_t samples, int most_trials,
           IslandShape& island)
      : world_(world), whole_(whole), samples_(samples), trials_(most_trials), island_(island) {}

  void run() {
    for (bool is_better = true; is_better && trials_ > 0;) {
      is_better = false;
      for (size_t g = 0; g < island_.groups.size(); ++g) is_better |= improve(g);
    }
  }

 private:
  // True when the shape is faster and fits; it is the island then.
  bool accept(IslandShape trial) {
    if (trials_ <= 0) return false;
    --trials_;
    if (!price_shape(world_, trial, samples_) || trial.step_ns >= island_.step_ns) return false;
    Supply supply = whole_;
    if (!supply.take(trial)) return false;
    island_ = std::move(trial);
    return true;
  }

  template <typename Change>
  bool attempt(size_t g, Change change) {
    IslandShape trial = island_;
    if (!change(trial.groups[g])) return false;
    return accept(std::move(trial));
  }

  bool recut(PipelineGroup& group) const {
    const std::vector<int> holders = holders_of(group);
    const auto cut = cut_evenly(world_, group.pipeline, group.num_microbatches(), holders);
    if (cut) group.pipeline = *cut;
    return cut.has_value();
  }

  std::vector<int> holders_of(const PipelineGroup& group) const {
    std::vector<int> holders;
    for (const StageShape& stage : group.pipeline.stages) {
      holders.push_back(stage.tensor_parallel * island_.num_pipelines());
    }
    return holders;
  }

  bool improve(size_t g) {
    bool is_better = false;
    const auto keep = [&](bool better) { is_better |= better; };
    for (size_t i = 0; i < world_.microbatches().size(); ++i) {
      const int size = world_.microbatches()[i];
      if (g >= island_.groups.size() || size > island_.groups[g].samples) break;
      keep(attempt(g, [&](PipelineGroup& group) {
        group.pipeline.microbatch = size;
        return recut(group);
      }));
    }
    if (g >= island_.groups.size()) return is_better;
    keep(attempt(g,
                 [](PipelineGroup& group) { return group.is_compact = !group.is_compact, true; }));
    keep(flip_flow(g));
    if (g < island_.groups.size()) keep(reshape(g));
    if (g < island_.groups.size()) keep(move_layers(g));
    if (g < island_.groups.size() && island_.groups.size() > 1) keep(leave_out(g));
    return is_better;
  }

  bool flip_flow(size_t g) {
    if (g >= island_.groups.size() || island_.groups[g].pipeline.num_stages() == 1) return false;
    return attempt(g, [&](PipelineGroup& group) {
      Flow& flow = group.pipeline.flow;
      flow = flow == Flow::k1f1b ? Flow::kZeroBubble : Flow::k1f1b;
      return world_.limits().allows(name_of(flow)) && recut(group);
    });
  }

  bool leave_out(size_t g) {
    IslandShape trial = island_;
    trial.groups.erase(trial.groups.begin() + static_cast<std::ptrdiff_t>(g));
    return accept(std::move(trial));
  }

  // Stages swapped, left out, added; cuts for slower bounds.
  bool reshape(size_t g) {
    bool is_better = false;
    const auto num_stages = [&] {
      return g < island_.groups.size() ? island_.groups[g].pipeline.num_stages() : 0;
    };
    for (int s = 0; s + 1 < num_stages(); ++s) {
      const std::vector<StageShape>& stages = island_.groups[g].pipeline.stages;
      if (stages[s].pool == stages[s + 1].pool &&
          stages[s].tensor_parallel == stages[s + 1].tensor_parallel) {
        continue;
      }
      is_better |= attempt(g, [&](PipelineGroup& group) {
        std::swap(group.pipeline.stages[s], group.pipeline.stages[s + 1]);
        return recut(group);
      });
    }
    for (int s = 0; num_stages() > 1 && s < num_stages(); ++s) {
      const std::vector<StageShape>& stages = island_.groups[g].pipeline.stages;
      if (s > 0 && stages[s].pool == stages[s - 1].pool) continue;
      is_better |= attempt(g, [&](PipelineGroup& group) {
        group.pipeline.stages.erase(group.pipeline.stages.begin() + s);
        return recut(group);
      });
    }
    for (size_t pool = 0; pool < world_.pools().size(); ++pool) {
      if (num_stages() > 0) is_better |= add_stage(g, static_cast<int>(pool));
    }
    return is_better;
  }

  bool add_stage(size_t g, int pool) {
    Supply supply = whole_;
    if (!supply.take(island_)) return false;
    bool is_better = false;
    for (int degree : world_.tensor_parallels(pool)) {
      if (g >= island_.groups.size()) break;
      if (supply.num_groups(pool, degree) < island_.groups[g].replicas) break;
      for (bool is_first : {true, false}) {
        if (g >= island_.groups.size()) break;
        is_better |= attempt(g, [&](PipelineGroup& group) {
          std::vector<StageShape>& stages = group.pipeline.stages;
          stages.insert(is_first ? stages.begin() : stages.end(), {pool, degree});
          return recut(group);
        });
      }
    }
    return is_better;
  }

  bool move_layers(size_t g) {
    bool is_better = false;
    int64_t slowest = 0;
    for (const StageShape& stage : island_.groups[g].pipeline.stages) {
      slowest =
          std::max(slowest, stage_work_ns(world_, stage, island_.groups[g].pipeline.microbatch));
    }
    for (int percent : {100, 103, 108, 115, 130, 160}) {
      if (g >= island_.groups.size()) return is_better;
      is_better |= attempt(g, [&](PipelineGroup& group) {
        const auto cut = cut_shortest(world_, group.pipeline, group.num_microbatches(),
                                      holders_of(group), slowest * percent / 100);
        if (cut) group.pipeline = *cut;
        return cut.has_value();
      });
    }
    for (int direction : {1, -1}) {
      for (int s = 0; g < island_.groups.size() && s + 1 < island_.groups[g].pipeline.num_stages();
           ++s) {
        is_better |= attempt(g, [&](PipelineGroup& group) {
          StageShape &left = group.pipeline.stages[s], &right = group.pipeline.stages[s + 1];
          left.last += direction;
          right.first += direction;
          return left.last > left.first && right.last > right.first;
        });
      }
    }
    return is_better;
  }

  const World& world_;
  const Supply& whole_;
  const int64_t samples_;
  int trials_;
  IslandShape& island_;
};

}  // namespace

void polish(const World& world, const Supply& whole, int64_t samples, int most_trials,
            IslandShape& island) {
  Polisher(world, whole, samples, most_trials, island).run();
}

}  // namespace skarv
