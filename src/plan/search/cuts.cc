#include "plan/search/cuts.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/bytes.h"

namespace skarv {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 4;
constexpr int64_t kNoBound = -1;

class Cutter {
 public:
  Cutter(const World& world, const PipelineShape& pipeline, int64_t num_microbatches,
         const std::vector<int>& num_holders)
      : world_(world),
        pipeline_(pipeline),
        num_stages_(pipeline.num_stages()),
        num_layers_(world.num_layers()),
        room_(2 * static_cast<size_t>(num_stages_) * static_cast<size_t>(num_layers_), kUnknown) {
    for (int s = 0; s < num_stages_; ++s) {
      places_.push_back(
          {s, num_stages_, num_microbatches, num_holders[s], pipeline.flow == Flow::kZeroBubble});
      const StageShape& stage = pipeline.stages[s];
      tables_.push_back(&world.table(stage.pool, pipeline.microbatch, stage.tensor_parallel));
    }
  }

  int64_t work(int s, int first, int last, bool recompute) const {
    const CostTable& table = *tables_[s];
    const auto part = [&](const std::vector<int64_t>& sums) { return sums[last] - sums[first]; };
    const int64_t forward = part(table.forward);
    return forward + part(table.backward_input) + part(table.backward_weight) +
           (recompute ? forward : 0);
  }

  bool fits(int s, int first, int last, bool recompute) const {
    StageShape stage = pipeline_.stages[s];
    stage.first = first;
    stage.last = last;
    stage.recompute = recompute;
    return stage_fits(world_, stage, pipeline_.microbatch, places_[s]);
  }

  // One past the last layer for which the stage has memory from `first` on; `first` if none. More
  // layers never take less. Bounds are many, so it is remembered.
  int room(int s, int first, bool recompute) {
    int& last = room_[2 * (static_cast<size_t>(s) * num_layers_ + first) + (recompute ? 1 : 0)];
    if (last == kUnknown) {
      last = furthest(s, first, [&](int end) { return fits(s, first, end, recompute); });
    }
    return last;
  }

  // One past the last layer that the stage can take from `first` on; `first` if none.
  int reach(int s, int first, int64_t bound, bool recompute) {
    const int last =
        furthest(s, first, [&](int end) { return work(s, first, end, recompute) <= bound; });
    return last == first ? first : std::min(last, room(s, first, recompute));
  }

  bool fill(int64_t bound, PipelineShape& out) {
    int first = 0;
    for (int s = 0; s < num_stages_; ++s) {
      int last = reach(s, first, bound, false);
      bool recompute = false;
      if (last < num_layers_) {
        const int further = reach(s, first, bound, true);
        if (further > last) {
          last = further;
          recompute = true;
        }
      }
      if (last == first) return false;
      out.stages[s].first = first;
      out.stages[s].last = last;
      out.stages[s].recompute = recompute;
      first = last;
    }
    return first == num_layers_;
  }

  int64_t slowest(const PipelineShape& shape) const {
    int64_t result = 0;
    for (int s = 0; s < num_stages_; ++s) {
      const StageShape& stage = shape.stages[s];
      result = std::max(result, work(s, stage.first, stage.last, stage.recompute));
    }
    return result;
  }

  // Work of the whole model if every stage ran it at the same time.
  int64_t ideal() const {
    double speed = 0;
    for (int s = 0; s < num_stages_; ++s) {
      speed += 1.0 / static_cast<double>(std::max<int64_t>(1, work(s, 0, num_layers_, false)));
    }
    return static_cast<int64_t>(1 / speed);
  }

  int64_t most() const {
    int64_t result = 0;
    for (int s = 0; s < num_stages_; ++s) result = std::max(result, work(s, 0, num_layers_, true));
    return result;
  }

  int num_stages() const { return num_stages_; }
  int num_layers() const { return num_layers_; }

 private:
  static constexpr int kUnknown = -1;

  template <typename Can>
  int furthest(int s, int first, Can can) const {
    int low = first, high = num_layers_ - (num_stages_ - s - 1);
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (can(middle)) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  const World& world_;
  const PipelineShape& pipeline_;
  const int num_stages_, num_layers_;
  std::vector<StagePlace> places_;
  std::vector<const CostTable*> tables_;
  std::vector<int> room_;  // by stage, first layer, recomputation
};

// Where the slowest stage is as fast as can be.
std::optional<PipelineShape> make_even(Cutter& cutter, PipelineShape pipeline) {
  int64_t low = cutter.ideal(), high = low + low / 4 + 1;
  const int64_t most = cutter.most();
  if (!cutter.fill(most, pipeline)) return std::nullopt;
  while (!cutter.fill(high, pipeline)) {
    low = high + 1;
    high = std::min(most, high * 2);
  }
  high = cutter.slowest(pipeline);
  PipelineShape trial = pipeline;
  const int64_t grain = cutter.num_stages() <= 8 ? 1 : 1 + high / 4096;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (cutter.fill(middle, trial)) {
      pipeline = trial;
      high = std::min(middle, cutter.slowest(trial));
    } else {
      low = middle + grain;
    }
  }
  return pipeline;
}

// Where there is the least work from end to end.
std::optional<PipelineShape> make_shortest(Cutter& cutter, PipelineShape pipeline,
                                           int64_t bound_ns) {
  const int num_stages = cutter.num_stages(), num_layers = cutter.num_layers();
  struct Step {
    int64_t total = kNever;
    int last = 0;
    bool recompute = false;
  };
  // best[s][l]: least work of stages s.. for layers l..
  std::vector<std::vector<Step>> best(num_stages + 1, std::vector<Step>(num_layers + 1));
  best[num_stages][num_layers].total = 0;
  for (int s = num_stages - 1; s >= 0; --s) {
    for (int first = s; first <= num_layers - (num_stages - s); ++first) {
      Step& step = best[s][first];
      for (int last = first + 1; last <= num_layers - (num_stages - s - 1); ++last) {
        if (cutter.work(s, first, last, false) > bound_ns) break;
        const int64_t behind = best[s + 1][last].total;
        if (behind >= kNever) continue;
        if (cutter.work(s, first, last, false) + behind >= step.total) continue;
        bool recompute = false;
        if (last > cutter.room(s, first, false)) {
          recompute = true;
          if (cutter.work(s, first, last, true) > bound_ns) continue;
          if (last > cutter.room(s, first, true)) break;
        }
        const int64_t total = cutter.work(s, first, last, recompute) + behind;
        if (total < step.total) step = {total, last, recompute};
      }
    }
  }
  if (best[0][0].total >= kNever) return std::nullopt;
  int first = 0;
  for (int s = 0; s < num_stages; ++s) {
    const Step& step = best[s][first];
    pipeline.stages[s].first = first;
    pipeline.stages[s].last = step.last;
    pipeline.stages[s].recompute = step.recompute;
    first = step.last;
  }
  return pipeline;
}

// All that a cut follows from, in this world and its copies. No stage has more microbatches in
// flight than there are stages.
std::string key_of(const World& world, const PipelineShape& pipeline, int64_t num_microbatches,
                   const std::vector<int>& num_holders, int64_t bound_ns) {
  std::string key;
  const auto add = [&key](auto number) { append_bytes(key, number); };
  add(bound_ns);
  add(pipeline.microbatch);
  add(pipeline.flow);
  add(std::min<int64_t>(num_microbatches, pipeline.num_stages()));
  for (int s = 0; s < pipeline.num_stages(); ++s) {
    const StageShape& stage = pipeline.stages[s];
    add(stage.pool);
    add(stage.tensor_parallel);
    add(num_holders[s]);
    if (s > 0 && stage.pool == pipeline.stages[s - 1].pool) continue;
    add(world.pool(stage.pool).memory);
    add(world.pool(stage.pool).host_memory);
  }
  return key;
}

template <typename Make>
std::optional<PipelineShape> known_or_made(const World& world, std::string key,
                                           PipelineShape pipeline, Make make) {
  const KnownCuts::Cut* known = world.known_cuts().find(key);
  if (known == nullptr) {
    std::optional<PipelineShape> made = make(pipeline);
    KnownCuts::Cut cut;
    for (int s = 0; made && s < made->num_stages(); ++s) {
      cut.push_back({made->stages[s].last, made->stages[s].recompute});
    }
    world.known_cuts().add(std::move(key), std::move(cut));
    return made;
  }
  if (known->empty()) return std::nullopt;
  int first = 0;
  for (size_t s = 0; s < known->size(); ++s) {
    StageShape& stage = pipeline.stages[s];
    stage.first = first;
    first = stage.last = (*known)[s].last;
    stage.recompute = (*known)[s].recompute;
  }
  return pipeline;
}

}  // namespace

int64_t stage_work_ns(const World& world, const StageShape& stage, int microbatch) {
  const CostTable& table = world.table(stage.pool, microbatch, stage.tensor_parallel);
  const auto part = [&](const std::vector<int64_t>& sums) {
    return sums[stage.last] - sums[stage.first];
  };
  const int64_t forward = part(table.forward);
  return forward + part(table.backward_input) + part(table.backward_weight) +
         (stage.recompute ? forward : 0);
}

std::optional<PipelineShape> cut_evenly(const World& world, PipelineShape pipeline,
                                        int64_t num_microbatches,
                                        const std::vector<int>& num_holders) {
  if (pipeline.num_stages() > world.num_layers()) return std::nullopt;
  std::string key = key_of(world, pipeline, num_microbatches, num_holders, kNoBound);
  return known_or_made(world, std::move(key), std::move(pipeline),
                       [&](const PipelineShape& stages) {
                         Cutter cutter(world, stages, num_microbatches, num_holders);
                         return make_even(cutter, stages);
                       });
}

std::optional<PipelineShape> cut_shortest(const World& world, PipelineShape pipeline,
                                          int64_t num_microbatches,
                                          const std::vector<int>& num_holders, int64_t bound_ns) {
  if (pipeline.num_stages() > world.num_layers()) return std::nullopt;
  std::string key = key_of(world, pipeline, num_microbatches, num_holders, bound_ns);
  return known_or_made(world, std::move(key), std::move(pipeline),
                       [&](const PipelineShape& stages) {
                         Cutter cutter(world, stages, num_microbatches, num_holders);
                         return make_shortest(cutter, stages, bound_ns);
                       });
}

}  // namespace skarv
