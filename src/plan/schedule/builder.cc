#include "plan/schedule/builder.h"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "base/text.h"
#include "spec/stage_map.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

using enum ActionKind;

// Forward, and each half of a backward, take as long as each other; memory as ZB-H1 (2401.10241).
PipelineTimes unit_times(const std::vector<int>& worker_of_stage, int num_microbatches) {
  const int num_stages = static_cast<int>(worker_of_stage.size());
  PipelineTimes times =
      straight_pipeline(std::vector<StageTimes>(num_stages, {1, 1, 1, 2, 1}), num_microbatches);
  times.worker_of_stage = worker_of_stage;
  times.memory_bytes.assign(1 + *std::ranges::max_element(worker_of_stage), 2 * num_stages);
  return times;
}

}  // namespace

bool tries_first_orders_alone(const Island& island, int64_t max_pieces) {
  return std::ranges::any_of(island.pipelines, [&](const Pipeline& pipeline) {
    const Result<OrderRule> rule = find_order_rule(pipeline.schedule);
    return rule.ok() && rule->is_split &&
           tries_first_orders_alone(std::ssize(pipeline.stages), pipeline.num_microbatches(),
                                    max_pieces);
  });
}

std::vector<int> workers_of_stages(const StageMap& map, int pipeline) {
  const int num_stages = map.num_stages(pipeline);
  std::vector<int> worker(num_stages);
  std::iota(worker.begin(), worker.end(), 0);
  std::map<int, int> stage_of_rank;
  for (int s = 0; s < num_stages; ++s) {
    for (int rank : map.ranks_of(pipeline, s)) {
      const auto [first, is_new] = stage_of_rank.emplace(rank, s);
      if (is_new) continue;
      const int from = worker[s], to = worker[first->second];
      std::replace(worker.begin(), worker.end(), from, to);
    }
  }
  std::map<int, int> dense;
  for (int& w : worker) w = dense.emplace(w, static_cast<int>(dense.size())).first->second;
  return worker;
}

namespace {

class Builder {
 public:
  Builder(const Island& island, const Payloads& payloads, const OrderOptions& options,
          Schedule& schedule)
      : island_(island),
        payloads_(payloads),
        options_(options),
        map_(island),
        schedule_(schedule) {}

  Status add_pipeline(int pipeline, const PipelineTimes* times) {
    const std::string where = cat("island ", island_.name, ", pipelines[", pipeline, "]");
    const Pipeline& parts = island_.pipelines[pipeline];
    const Result<OrderRule> rule = find_order_rule(parts.schedule);
    if (!rule.ok()) return rule.status().at(where + ".schedule");
    const std::vector<int> worker_of_stage = workers_of_stages(map_, pipeline);
    const PipelineTimes wanted =
        times != nullptr ? *times : unit_times(worker_of_stage, parts.num_microbatches());
    if (wanted.worker_of_stage != worker_of_stage ||
        wanted.num_microbatches != parts.num_microbatches()) {
      return Status(Code::kInternal, Scope::kBug, "the times are those of another pipeline")
          .at(where);
    }
    const Result<const OrderedPipeline*> order = ordered(*rule, wanted);
    if (!order.ok()) return order.status().wrap(where);
    for (const std::vector<Work>& list : (*order)->work) {
      for (const Work& work : list) {
        const std::vector<int>& members = map_.ranks_of(pipeline, work.stage);
        for (size_t i = 0; i < members.size(); ++i) {
          add_work(members[i], {pipeline, work.stage, static_cast<int>(i)}, work);
        }
      }
    }
    return {};
  }

  void add_end(const Ownership& ownership, const SlabTable& table) {
    const auto add_all = [&](ActionKind kind, auto bytes_of) {
      for (size_t group = 0; group < ownership.groups.size(); ++group) {
        for (int rank : ownership.groups[group].members) {
          const int index = static_cast<int>(group);
          schedule_.actions[rank].push_back({kind, -1, -1, -1, index, -1, bytes_of(index, rank)});
        }
      }
    };
    add_all(kReduce,
            [&](int group, int rank) { return reduce_bytes(ownership, table, group, rank); });
    for (std::vector<Action>& list : schedule_.actions) list.push_back({kClip});
    add_all(kUpdate, [](int, int) { return int64_t{0}; });
    add_all(kGather, [&](int group, int rank) {
      return gather_bytes(ownership, table, group, rank, payloads_.precision);
    });
  }

 private:
  // Replicas are ordered once.
  Result<const OrderedPipeline*> ordered(const OrderRule& rule, const PipelineTimes& times) {
    for (const Known& known : known_) {
      if (known.rule == rule.name && known.times == times) return &known.order;
    }
    SKARV_ASSIGN(OrderedPipeline order, order_pipeline(rule, times, options_));
    known_.push_back({rule.name, times, std::move(order)});
    return &known_.back().order;
  }

  // The computing action with the messages that it needs before and gives rise to after.
  void add_work(int rank, const StageMap::Seat& seat, const Work& work) {
    std::vector<Action>& list = schedule_.actions[rank];
    const int samples = island_.pipelines[seat.pipeline].microbatch_size(work.microbatch);
    const auto add = [&](ActionKind kind, int peer, int64_t moved) {
      list.push_back({kind, seat.pipeline, seat.stage, work.microbatch, -1, peer, moved});
    };
    const bool is_forward = work.kind == kForward;
    if (work.kind == kBackwardWeight) {
      add(kBackwardWeight, -1, 0);
      return;
    }
    // A gradient is as large as the activation that it belongs to: of the border before the stage.
    const auto border = [&](int stage) {
      const int end = island_.pipelines[seat.pipeline].stages[stage].last;
      return payloads_.output_bytes[end - 1] * samples;
    };
    const int64_t before = seat.stage > 0 ? border(seat.stage - 1) : 0, after = border(seat.stage);
    const int source = is_forward ? map_.activation_source(seat) : map_.gradient_source(seat);
    if (source >= 0 && source != rank) {
      add(is_forward ? kReceiveActivation : kReceiveGradient, source, is_forward ? before : after);
    }
    add(work.kind, -1, 0);
    for (int target : is_forward ? map_.activation_targets(seat) : map_.gradient_targets(seat)) {
      add(is_forward ? kSendActivation : kSendGradient, target, is_forward ? after : before);
    }
  }

  struct Known {
    std::string rule;
    PipelineTimes times;
    OrderedPipeline order;
  };

  const Island& island_;
  const Payloads& payloads_;
  const OrderOptions& options_;
  std::deque<Known> known_;
  const StageMap map_;
  Schedule& schedule_;
};

}  // namespace

Payloads payloads_of(const Run& run) {
  Payloads payloads{run.precision, {}};
  payloads.output_bytes.assign(run.model.num_layers(), border_bytes(run.model, run.precision, 1));
  return payloads;
}

Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Payloads& payloads,
                                const std::vector<PipelineTimes>& times,
                                const OrderOptions& options) {
  Schedule schedule{island.devices(), {}};
  schedule.actions.resize(schedule.devices.size());
  Builder builder(island, payloads, options, schedule);
  for (size_t i = 0; i < island.pipelines.size(); ++i) {
    SKARV_TRY(builder.add_pipeline(static_cast<int>(i), i < times.size() ? &times[i] : nullptr));
  }
  builder.add_end(ownership, table);
  return schedule;
}

Result<Schedule> build_schedule(const Island& island, const Ownership& ownership,
                                const SlabTable& table, const Run& run,
                                const std::vector<PipelineTimes>& times,
                                const OrderOptions& options) {
  return build_schedule(island, ownership, table, payloads_of(run), times, options);
}

}  // namespace skarv
