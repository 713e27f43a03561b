#include "plan/simulate/step_floor.h"

#include <algorithm>

#include "plan/schedule/builder.h"
#include "plan/schedule/goal.h"

namespace skarv {
namespace {

using enum ActionKind;

constexpr int64_t kNever = int64_t{1} << 62;

// One microbatch in one stage; a backward in one piece is all in `input`.
struct Parts {
  int64_t forward = 0, input = 0, weight = 0;
  int64_t all() const { return forward + input + weight; }
};

Parts least(const Parts& a, const Parts& b) {
  return {std::min(a.forward, b.forward), std::min(a.input, b.input), std::min(a.weight, b.weight)};
}

// The first microbatch, all together, the last.
struct StageWork {
  Parts first{kNever, kNever, kNever}, sum{kNever, kNever, kNever}, last{kNever, kNever, kNever};
};

// A message that has its wires to itself, one of the first microbatch and one of the last.
struct BorderWay {
  LaneTimes first{kNever / 4, kNever / 4}, last{kNever / 4, kNever / 4};
};

LaneTimes faster(const LaneTimes& a, const LaneTimes& b) {
  return {std::min(a.transfer_ns, b.transfer_ns), std::min(a.latency_ns, b.latency_ns)};
}

class Floor {
 public:
  Floor(const FloorQuery& query, Routes& routes)
      : query_(query),
        island_(query.cost.fold().island),
        map_(island_),
        routes_(routes),
        end_(query.cost.num_ranks(), query.start_up.step_ns),
        reduce_(query.cost.num_ranks(), 0) {
    for (int group = 0; group < query.cost.num_groups(); ++group) {
      for (int rank : query.ownership.groups[group].members) {
        reduce_[rank] += query.cost.group(group).reduce_ns;
      }
    }
  }

  Result<int64_t> run(const std::vector<PipelineTimes>& limits) {
    SKARV_TRY(add_pipelines(limits));
    return end_of_step();
  }

  int64_t end() {
    const int64_t least_reduce = std::ranges::min(reduce_);
    end_.assign(end_.size(), 0);
    end_of_step();
    return least_reduce + std::ranges::max(end_) - clip_begin_;
  }

  // Without owners no group reduces anything.
  Result<int64_t> work() {
    SKARV_TRY(add_pipelines({}));
    return std::max(clip_begin_, std::ranges::max(end_));
  }

 private:
  int64_t ns(int rank, const Action& action) const {
    const int64_t time = query_.cost.compute_ns(rank, action);
    return time == 0 ? 0 : time + query_.start_up.action_ns;
  }

  Parts parts_of(int rank, int pipeline, int stage, int microbatch, bool is_split) const {
    const auto of = [&](ActionKind kind) { return ns(rank, {kind, pipeline, stage, microbatch}); };
    if (!is_split) return {of(kForward), of(kBackward), 0};
    return {of(kForward), of(kBackwardInput), of(kBackwardWeight)};
  }

  // The fastest message over the border behind `stage`, there or back.
  Result<BorderWay> way_over(int pipeline, int stage, bool is_forward) {
    const Pipeline& parts = island_.pipelines[pipeline];
    const int64_t bytes = query_.workload.size(parts.stages[stage].last - 1).output_bytes;
    const int samples[2] = {parts.microbatch_size(0),
                            parts.microbatch_size(parts.num_microbatches() - 1)};
    const int receiver = is_forward ? stage + 1 : stage;
    BorderWay way;
    const std::vector<int>& members = map_.ranks_of(pipeline, receiver);
    for (size_t i = 0; i < members.size(); ++i) {
      const StageMap::Seat seat{pipeline, receiver, static_cast<int>(i)};
      const int from = is_forward ? map_.activation_source(seat) : map_.gradient_source(seat);
      if (from < 0 || from == members[i]) return BorderWay{{0, 0}, {0, 0}};
      SKARV_ASSIGN(const Route* route, routes_.find(from, members[i]));
      const auto lane = [&](int64_t moved) {
        return LaneTimes{
            route->link.transfer_ns(moved),
            route->link.latency_ns + route->copy_ns(moved) + query_.start_up.message_ns};
      };
      way.first = faster(way.first, lane(bytes * samples[0]));
      way.last = faster(way.last, lane(bytes * samples[1]));
    }
    return way;
  }

  Status add_pipelines(const std::vector<PipelineTimes>& limits) {
    for (size_t p = 0; p < island_.pipelines.size(); ++p) {
      SKARV_TRY(add_pipeline(static_cast<int>(p), p < limits.size() ? &limits[p] : nullptr));
    }
    return {};
  }

  // Whether it is known until when all its devices work.
  bool take_known_ends(int index) {
    if (query_.ends == nullptr) return false;
    std::vector<std::pair<int, int64_t>> known;  // by rank
    for (int s = 0; s < map_.num_stages(index); ++s) {
      const std::vector<std::string>& devices = island_.pipelines[index].stages[s].devices;
      for (size_t i = 0; i < devices.size(); ++i) {
        const auto end = query_.ends->find(devices[i]);
        if (end == query_.ends->end()) return false;
        known.emplace_back(map_.ranks_of(index, s)[i], end->second);
      }
    }
    for (const auto& [rank, end] : known) end_[rank] = std::max(end_[rank], end);
    return true;
  }

  Status add_pipeline(int index, const PipelineTimes* limits) {
    if (take_known_ends(index)) return {};
    const Pipeline& pipeline = island_.pipelines[index];
    const int num_stages = static_cast<int>(pipeline.stages.size());
    const int num_microbatches = pipeline.num_microbatches();
    SKARV_ASSIGN(const OrderRule rule, find_order_rule(pipeline.schedule));
    std::vector<StageWork> work(num_stages);
    std::map<int, int64_t> all_of, begin_of;  // by rank
    std::vector<BorderWay> there(num_stages), back(num_stages);
    std::vector<int64_t> begin(num_stages, query_.start_up.step_ns);
    for (int s = 0; s < num_stages; ++s) {
      if (s > 0)
        begin[s] = begin[s - 1] + work[s - 1].first.forward + there[s - 1].first.total_ns();
      for (int rank : map_.ranks_of(index, s)) {
        const Parts first = parts_of(rank, index, s, 0, rule.is_split);
        const Parts last = parts_of(rank, index, s, num_microbatches - 1, rule.is_split);
        const auto sum = [&](int64_t one, int64_t rest) {
          return (num_microbatches - 1) * one + rest;
        };
        const Parts all{sum(first.forward, last.forward), sum(first.input, last.input),
                        sum(first.weight, last.weight)};
        work[s].first = least(work[s].first, first);
        work[s].last = least(work[s].last, last);
        work[s].sum = least(work[s].sum, all);
        all_of[rank] += all.all();
        begin_of.emplace(rank, begin[s]);  // of its first stage
      }
      if (s + 1 == num_stages) break;
      SKARV_ASSIGN(there[s], way_over(index, s, true));
      SKARV_ASSIGN(back[s], way_over(index, s, false));
    }
    for (const auto& [rank, all] : all_of) end_[rank] = std::max(end_[rank], begin_of[rank] + all);
    // When the first gradient may be there, and the last has been computed.
    int64_t first = 0, last = 0;
    for (int s = num_stages; s-- > 0;) {
      const bool is_end = s + 1 == num_stages;
      first = is_end ? begin[s] + work[s].first.forward
                     : first + work[s + 1].first.input + back[s].first.total_ns();
      last = std::max(begin[s] + work[s].sum.forward + work[s].sum.input,
                      is_end ? 0 : last + back[s].last.total_ns() + work[s].last.input);
      last = std::max(last, first + work[s].sum.input);
      for (int rank : map_.ranks_of(index, s)) {
        end_[rank] = std::max({end_[rank], last + work[s].last.weight,
                               first + work[s].sum.input + work[s].sum.weight});
      }
    }
    return add_longest_path(index, work, there, back, limits);
  }

  // A smaller last microbatch is left out: what is left of its step cannot take longer.
  Status add_longest_path(int index, const std::vector<StageWork>& work,
                          const std::vector<BorderWay>& there, const std::vector<BorderWay>& back,
                          const PipelineTimes* limits) {
    const Pipeline& pipeline = island_.pipelines[index];
    const int num = pipeline.num_microbatches();
    const bool is_even = pipeline.microbatch_size(num - 1) == pipeline.microbatch_size(0);
    if (num == 1 && !is_even) return {};
    PipelineTimes times;
    times.num_microbatches = is_even ? num : num - 1;
    times.worker_of_stage = workers_of_stages(map_, index);
    times.memory_bytes.assign(1 + *std::ranges::max_element(times.worker_of_stage), kNoMemoryLimit);
    if (limits != nullptr) times.memory_bytes = limits->memory_bytes;
    for (size_t s = 0; s < work.size(); ++s) {
      const Parts& one = work[s].first;
      StageTimes& stage = times.stages.emplace_back(StageTimes{one.forward, one.input, one.weight});
      if (limits != nullptr) {
        stage.kept_bytes = limits->stages[s].kept_bytes;
        stage.freed_by_input = limits->stages[s].freed_by_input;
      }
      if (s + 1 < work.size()) times.borders.push_back({there[s].first, back[s].first});
    }
    int64_t least_reduce = kNever;
    for (size_t s = 0; s < work.size(); ++s) {
      for (int rank : map_.ranks_of(index, static_cast<int>(s))) {
        least_reduce = std::min(least_reduce, reduce_[rank]);
      }
    }
    clip_begin_ =
        std::max(clip_begin_, query_.start_up.step_ns + Bounds(times).makespan_ns() + least_reduce);
    return {};
  }

  int64_t end_of_step() {
    const auto meet = [&](int group, int64_t duration) {
      int64_t latest = 0;
      const std::vector<int>& members = query_.ownership.groups[group].members;
      for (int rank : members) latest = std::max(latest, end_[rank]);
      for (int rank : members) end_[rank] = latest + duration;
    };
    const int num_groups = query_.cost.num_groups();
    for (int group = 0; group < num_groups; ++group) {
      meet(group, query_.cost.group(group).reduce_ns);
    }
    clip_begin_ = std::max(clip_begin_, std::ranges::max(end_));
    end_.assign(end_.size(), clip_begin_ + query_.cost.clip_ns());
    for (int group = 0; group < num_groups; ++group) {
      for (int rank : query_.ownership.groups[group].members) {
        Action update{kUpdate};
        update.group = group;
        end_[rank] += ns(rank, update);
      }
    }
    for (int group = 0; group < num_groups; ++group) {
      meet(group, query_.cost.group(group).gather_ns);
    }
    return std::ranges::max(end_);
  }

  const FloorQuery& query_;
  const Island& island_;
  const StageMap map_;
  Routes& routes_;
  std::vector<int64_t> end_;     // by rank: of its work so far
  std::vector<int64_t> reduce_;  // by rank: of all its groups
  int64_t clip_begin_ = 0;
};

}  // namespace

Result<int64_t> step_floor(const FloorQuery& query, Routes& routes,
                           const std::vector<PipelineTimes>& limits) {
  return Floor(query, routes).run(limits);
}

int64_t end_floor(const FloorQuery& query, Routes& routes) { return Floor(query, routes).end(); }

Result<int64_t> work_floor(const FloorQuery& query, Routes& routes) {
  return Floor(query, routes).work();
}

}  // namespace skarv
