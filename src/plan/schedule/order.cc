#include "plan/schedule/order.h"

#include "base/text.h"
#include "plan/schedule/greedy.h"
#include "plan/schedule/order_cache.h"
#include "plan/schedule/warm_up.h"

namespace skarv {
namespace {

// Backwards in one piece: the gradient leaves when the weights are done as well.
bool holds_all_microbatches(PipelineTimes times) {
  for (StageTimes& stage : times.stages) stage.kept_bytes *= times.num_microbatches;
  for (int worker = 0; worker < times.num_workers(); ++worker) {
    if (least_memory(times, worker) > times.memory_bytes[worker]) return false;
  }
  return true;
}

WorkOrder order_whole(const OrderRule& rule, const PipelineTimes& times,
                      const OrderOptions& options) {
  // The classical depth first, so that at equal times it wins: it keeps least.
  const WarmUp warm_ups[] = {{.is_classical = true}, {1000, 1000, 0}, {1000, 1000, 1},
                             {1000, 1150, 1},        {500, 1000, 0},  {250, 1000, 0}};
  const bool holds_all = holds_all_microbatches(times);
  Player player(times);
  Bounds bounds(times);
  WorkOrder best;
  Played best_played;
  for (const WarmUp& warm_up : warm_ups) {
    GreedyRule greedy;
    greedy.is_fused = true;
    greedy.fills_first = rule.fills_first && holds_all;
    greedy.forward_first = rule.fills_first;
    if (!rule.fills_first) greedy.depth = depths_of(warm_up, times);
    WorkOrder order = order_greedily(times, greedy, options.give_up_ns);
    if (order.empty()) continue;
    const Played played = player.play(order);
    const auto goal = [&options](const Played& figures) {
      return options.objective == Objective::kMakespan
                 ? std::pair(figures.makespan_ns, figures.longest_ns)
                 : std::pair(figures.longest_ns, figures.makespan_ns);
    };
    if (!best_played.is_valid || goal(played) < goal(best_played)) {
      best = std::move(order);
      best_played = played;
    }
    if (rule.fills_first || bounds.are_met_by(best_played)) break;
  }
  if (options.known != nullptr) options.known->count(kCostOfOrdered * player.num_played());
  return best;
}

std::vector<std::vector<Work>> to_work(const WorkOrder& order, bool is_split, int num_stages) {
  std::vector<int> next(3 * static_cast<size_t>(num_stages), 0);  // microbatch, by token
  std::vector<std::vector<Work>> result;
  for (const std::vector<Token>& list : order) {
    std::vector<Work>& mine = result.emplace_back();
    for (Token token : list) {
      const int stage = stage_of(token), microbatch = next[token]++;
      switch (part_of(token)) {
        case Part::kForward:
          mine.push_back({ActionKind::kForward, stage, microbatch});
          break;
        case Part::kInput:
          mine.push_back(
              {is_split ? ActionKind::kBackwardInput : ActionKind::kBackward, stage, microbatch});
          break;
        case Part::kWeight:
          if (is_split) mine.push_back({ActionKind::kBackwardWeight, stage, microbatch});
          break;
      }
    }
  }
  return result;
}

bool is_late(const Played& played, const OrderOptions& options) {
  return options.give_up_ns > 0 && played.makespan_ns >= options.give_up_ns;
}
Status late(const OrderOptions& options) {
  return {Code::kDeadlineExceeded, Scope::kConfig,
          cat("the pipeline takes ", options.give_up_ns, " ns or longer")};
}

}  // namespace

const std::vector<OrderRule>& order_rules() {
  static const std::vector<OrderRule> rules = {
      {"1f1b", "one forward, one backward in turn", false, false},
      {"gpipe", "all forwards, then all backwards", false, true},
      {"zero-bubble", "backward in two parts, weights fill the gaps", true, false},
  };
  return rules;
}

Result<OrderRule> find_order_rule(const std::string& name) {
  std::vector<std::string> names;
  for (const OrderRule& rule : order_rules()) {
    if (rule.name == name) return rule;
    names.push_back(rule.name);
  }
  const std::string near = nearest_name(name, names);
  return Status(Code::kNotFound, Scope::kConfig, cat("no schedule is named \"", name, "\""))
      .with_hint(near.empty() ? "there are " + join(names, ", ") : cat("did you mean ", near, "?"));
}

Result<OrderedPipeline> order_pipeline(const OrderRule& rule, const PipelineTimes& times,
                                       const OrderOptions& asked) {
  OrderOptions options = asked;
  if (rule.is_split &&
      tries_first_orders_alone(times.num_stages(), times.num_microbatches, options.max_pieces)) {
    options.max_pieces = kProbeEffort;
  }
  // An order for a run is made to its end, since it is remembered.
  if (options.max_pieces != kProbeEffort) options.give_up_ns = 0;
  if (options.known != nullptr) {
    const OrderedPipeline* known = options.known->find(rule, times, options);
    if (known != nullptr && is_late(known->played, options)) return late(options);
    if (known != nullptr) return *known;
  }
  SKARV_TRY(check_pipeline_times(times));
  const PipelineTimes played_times = rule.is_split ? times : with_whole_backwards(times);
  const WorkOrder order =
      rule.is_split ? order_zero_bubble(times, options) : order_whole(rule, played_times, options);
  if (order.empty()) return late(options);
  const Played played = Player(played_times).play(order);
  if (!played.is_valid) {
    return Status(Code::kInternal, Scope::kBug, cat("the order by ", rule.name, " got stuck"));
  }
  OrderedPipeline result{to_work(order, rule.is_split, times.num_stages()), played};
  if (options.known != nullptr) options.known->add(rule, times, options, result);
  if (is_late(result.played, options)) return late(options);
  return result;
}

}  // namespace skarv
