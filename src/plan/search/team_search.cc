#include "plan/search/team_search.h"

#include <algorithm>
#include <set>

#include "plan/search/cuts.h"
#include "plan/search/island_time.h"
#include "plan/search/pipeline_clock.h"

namespace skarv {
namespace {

constexpr int kMostCut = 400;      // drafts that are cut at most, and ...
constexpr int kMostFeasible = 40;  // ... that fit
constexpr int kMostPermuted = 4;   // pools of which all orders are tried

// A group before its layers are cut.
struct Draft {
  std::vector<int> degree, num_stages;  // by pool of the team
  int replicas = 1, microbatch = 1;
  double bound = 0;  // estimate of the step, ns
};

class TeamSearch {
 public:
  TeamSearch(const World& world, const Supply& supply, const TeamQuestion& question)
      : world_(world), supply_(supply), question_(question), pools_(question.pools) {}

  std::vector<PipelineGroup> run() {
    std::vector<int> degree(pools_.size());
    choose_degrees(0, degree);
    std::ranges::stable_sort(drafts_, {}, &Draft::bound);
    struct Found {
      int64_t ns;
      PipelineGroup group;
    };
    std::vector<Found> found;
    int num_cut = 0;
    for (const Draft& draft : drafts_) {
      if (++num_cut > kMostCut || found.size() >= kMostFeasible) break;
      std::optional<PipelineGroup> best;
      int64_t best_ns = 0;
      for (const std::vector<int>& order : orders()) {
        auto group = finish_group(world_, group_of(draft, order), question_.samples,
                                  question_.other_pipelines);
        if (!group) continue;
        const int64_t ns = time_of(*group);
        if (best && ns >= best_ns) continue;
        best = std::move(group);
        best_ns = ns;
      }
      if (best) found.push_back({best_ns, std::move(*best)});
    }
    std::ranges::stable_sort(found, {}, &Found::ns);
    std::vector<PipelineGroup> result;
    for (Found& one : found) {
      if (static_cast<int>(result.size()) >= question_.num_wanted) break;
      result.push_back(std::move(one.group));
    }
    return result;
  }

 private:
  int64_t time_of(const PipelineGroup& group) const {
    IslandShape island;
    island.groups.push_back(group);
    return set_samples(world_, island, question_.samples) ? island.step_ns : INT64_MAX;
  }

  void choose_degrees(size_t at, std::vector<int>& degree) {
    if (at < pools_.size()) {
      for (int candidate : world_.tensor_parallels(pools_[at])) {
        degree[at] = candidate;
        choose_degrees(at + 1, degree);
      }
      return;
    }
    std::vector<int> units;
    for (size_t i = 0; i < pools_.size(); ++i) {
      units.push_back(supply_.num_groups(pools_[i], degree[i]));
      if (units.back() == 0) return;
    }
    for (int replicas : replica_counts(units)) {
      Draft draft;
      draft.degree = degree;
      draft.replicas = replicas;
      int num_stages = 0;
      for (int unit : units) {
        draft.num_stages.push_back(unit / replicas);
        num_stages += unit / replicas;
      }
      if (num_stages > world_.num_layers()) {
        if (!shorten(draft, num_stages)) continue;
      }
      add(draft);
    }
  }

  // Every count at which some pool's number of stages changes, and those that share the samples
  // evenly.
  std::vector<int> replica_counts(const std::vector<int>& units) const {
    const int least = *std::ranges::min_element(units);
    const auto most = static_cast<int>(std::min<int64_t>(least, question_.samples));
    std::set<int> counts;
    for (int unit : units) {
      for (int stages = 1; stages <= std::min(unit, world_.num_layers()); ++stages) {
        const int count = std::min(unit / stages, most);
        counts.insert(count);
        for (int even = count; even > 0 && even > count - 8; --even) {
          if (question_.samples % even != 0) continue;
          counts.insert(even);
          break;
        }
      }
    }
    return {counts.begin(), counts.end()};
  }

  // Fewer stages than devices: every pool gives up the same part.
  bool shorten(Draft& draft, int num_stages) const {
    int total = 0;
    for (int& count : draft.num_stages) {
      count = std::max(1, count * world_.num_layers() / num_stages);
      total += count;
    }
    return total <= world_.num_layers();
  }

  void add(Draft draft) {
    for (int microbatch : world_.microbatches()) {
      if (int64_t{microbatch} * draft.replicas > question_.samples + draft.replicas &&
          microbatch != world_.microbatches().front()) {
        break;
      }
      draft.microbatch = microbatch;
      draft.bound = bound_of(draft);
      if (may_fit(draft)) drafts_.push_back(draft);
    }
  }

  double bound_of(const Draft& draft) const {
    double speed = 0, granule = 0, message = 0;
    int num_stages = 0, num_shards = 0;
    const int num_layers = world_.num_layers();
    for (size_t i = 0; i < pools_.size(); ++i) {
      const CostTable& table = world_.table(pools_[i], draft.microbatch, draft.degree[i]);
      const auto work = static_cast<double>(
          std::max<int64_t>(1, table.forward[num_layers] + table.backward_input[num_layers] +
                                   table.backward_weight[num_layers]));
      speed += draft.num_stages[i] / work;
      granule = granule == 0 ? work / num_layers : std::min(granule, work / num_layers);
      // A pipeline that is longer than a host sends to the next one through its network.
      const LinkCost& network = world_.between(pools_[i], pools_[i]);
      if (draft.num_stages[i] * draft.degree[i] > world_.pool(pools_[i]).per_host) {
        const int64_t bytes = world_.workload().size(num_layers / 2).output_bytes;
        message = std::max(
            message,
            static_cast<double>(network.transfer_ns(bytes * draft.microbatch * draft.degree[i])));
      }
      num_stages += draft.num_stages[i];
      num_shards += draft.num_stages[i] * draft.degree[i];
    }
    const double period =
        std::max(num_stages == 1 ? 1 / speed : std::max(1 / speed, granule), message);
    const int64_t each = (question_.samples + draft.replicas - 1) / draft.replicas;
    const int64_t num_microbatches = (each + draft.microbatch - 1) / draft.microbatch;
    double time = period * static_cast<double>(num_microbatches + num_stages - 1);
    if (draft.replicas > 1) time += exchange(draft, num_shards);
    return time;
  }

  // Gradients and weights between replicas: every device of a host sends its shard over the host's
  // network, unless all replicas lie on one host.
  double exchange(const Draft& draft, int num_shards) const {
    const double shard = static_cast<double>(world_.parameters().back()) / num_shards;
    const double bytes = shard * static_cast<double>(world_.weight_bytes() + 4);
    const Pool& pool = world_.pool(pools_[0]);
    const LinkCost& network = world_.between(pools_[0], pools_[0]);
    if (draft.replicas * draft.degree[0] <= pool.per_host || !(network.bandwidth > 0)) {
      const LinkCost& inside = world_.inside(pools_[0], pools_[0]);
      return inside.bandwidth > 0 ? bytes * 1e9 / inside.bandwidth : 0;
    }
    const int rails = std::max(1, pool.per_host / draft.degree[0]);
    return bytes * draft.degree[0] * 1e9 / network.bandwidth *
           (draft.replicas >= rails ? 1 : rails / draft.replicas);
  }

  // A condition that is necessary only: all stages together have room for what a replica holds.
  bool may_fit(const Draft& draft) const {
    int64_t room = 0;
    int holders = 0;
    for (size_t i = 0; i < pools_.size(); ++i) {
      const Pool& pool = world_.pool(pools_[i]);
      room += (pool.memory - pool.base) * draft.degree[i] * draft.num_stages[i];
      holders = std::max(holders, draft.degree[i]);
    }
    const int64_t parameters = world_.parameters().back();
    const int64_t owned =
        parameters * world_.optimizer_bytes() / (draft.replicas + question_.other_pipelines);
    return parameters * (world_.weight_bytes() + 4) + owned <= room;
  }

  // Of the team's pools along the pipeline.
  const std::vector<std::vector<int>>& orders() {
    if (!orders_.empty()) return orders_;
    std::vector<int> order(pools_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    if (order.size() <= kMostPermuted) {
      do {
        orders_.push_back(order);
      } while (std::ranges::next_permutation(order).found);
      return orders_;
    }
    // The first stages hold the most microbatches.
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](int i) { return world_.pool(pools_[i]).memory; });
    orders_.push_back(order);
    std::ranges::reverse(order);
    orders_.push_back(order);
    return orders_;
  }

  PipelineGroup group_of(const Draft& draft, const std::vector<int>& order) const {
    PipelineGroup group;
    group.replicas = draft.replicas;
    group.pipeline.microbatch = draft.microbatch;
    for (int i : order) {
      for (int s = 0; s < draft.num_stages[i]; ++s) {
        group.pipeline.stages.push_back({pools_[i], draft.degree[i]});
      }
    }
    return group;
  }

  const World& world_;
  const Supply& supply_;
  const TeamQuestion& question_;
  const std::vector<int>& pools_;
  std::vector<Draft> drafts_;
  std::vector<std::vector<int>> orders_;
};

}  // namespace

std::vector<PipelineGroup> search_team(const World& world, const Supply& supply,
                                       const TeamQuestion& question) {
  return TeamSearch(world, supply, question).run();
}

std::optional<PipelineGroup> finish_group(const World& world, PipelineGroup group, int64_t samples,
                                          int other_pipelines) {
  const int64_t each = (samples + group.replicas - 1) / group.replicas;
  group.pipeline.microbatch =
      static_cast<int>(std::min<int64_t>(group.pipeline.microbatch, std::max<int64_t>(1, each)));
  const int64_t num_microbatches =
      (each + group.pipeline.microbatch - 1) / group.pipeline.microbatch;
  std::vector<int> holders;
  for (const StageShape& stage : group.pipeline.stages) {
    holders.push_back(stage.tensor_parallel * (group.replicas + other_pipelines));
  }
  std::optional<PipelineGroup> best;
  int64_t best_ns = 0;
  const int num_flows = group.pipeline.num_stages() > 1 ? 2 : 1;
  for (int flow = 0; flow < num_flows; ++flow) {
    group.pipeline.flow = flow == 0 ? Flow::k1f1b : Flow::kZeroBubble;
    if (num_flows > 1 && !world.limits().allows(name_of(group.pipeline.flow))) continue;
    const auto cut = cut_evenly(world, group.pipeline, num_microbatches, holders);
    if (!cut) continue;
    PipelineGroup trial = group;
    trial.pipeline = *cut;
    for (bool is_compact : {false, true}) {
      trial.is_compact = is_compact;
      IslandShape island;
      island.groups.push_back(trial);
      if (!set_samples(world, island, samples)) continue;
      if (!best || island.step_ns < best_ns) {
        best = trial;
        best_ns = island.step_ns;
      }
      if (group.replicas == 1 || num_flows == 1) break;
    }
  }
  return best;
}

}  // namespace skarv
