#include "plan/search/island_search.h"

#include <algorithm>
#include <bit>
#include <map>

#include "plan/search/island_time.h"
#include "plan/search/polish.h"
#include "plan/search/small_search.h"
#include "plan/search/team_search.h"

namespace skarv {
namespace {

constexpr size_t kMostPartitioned = 4;  // pools of which all partitions into teams are tried
constexpr int kOptionsOfTeam = 8;
constexpr size_t kWanted = 16, kPolished = 4;
// Closed forms are some percent off and playing a few devices costs next to nothing.
constexpr int kFewDevices = 64;
constexpr size_t kWantedOfFew = 48, kPolishedOfFew = 12;

using Team = uint32_t;  // a set of pools, as bits of the question's list

class IslandSearch {
 public:
  IslandSearch(const World& world, const IslandQuestion& question)
      : world_(world), question_(question), whole_(world, question.pools) {
    int num_devices = 0;
    for (int pool : question.pools) num_devices += world.pool(pool).num_devices();
    if (num_devices > kFewDevices) return;
    num_wanted_ = kWantedOfFew;
    num_polished_ = kPolishedOfFew;
  }

  IslandAnswer run() {
    form_teams();
    if (best_.empty()) {
      // Alone no team has room for its optimizer state; together they may.
      other_pipelines_ = 1;
      form_teams();
    }
    if (is_small(world_, question_)) return answer(small_shapes());
    look_at_fewer_hosts();
    std::vector<IslandShape> result = std::move(best_);
    for (size_t i = 0; i < result.size() && i < num_polished_; ++i) {
      add_leftovers(result[i]);
      polish(world_, whole_, question_.samples, i == 0 ? 3000 : 600, result[i]);
    }
    add_other_flows(result);
    std::ranges::stable_sort(result, {}, &IslandShape::step_ns);
    result.erase(std::ranges::unique(result, is_equal).begin(), result.end());
    if (result.size() > num_wanted_) result.resize(num_wanted_);
    return answer(std::move(result));
  }

 private:
  Team all() const { return (Team{1} << question_.pools.size()) - 1; }

  void form_teams() {
    options_.clear();
    total_speed_ = speed_of(all());
    if (question_.pools.size() <= kMostPartitioned || other_pipelines_ > 0) {
      partition(all(), {});
    } else {
      merge_greedily();
    }
  }

  // Teams take all devices that they can. Where the network between hosts is slow, fewer hosts may
  // be faster: half of them again and again, while they would be if nobody ever waited.
  void look_at_fewer_hosts() {
    int hosts = 0;
    for (int pool : question_.pools) hosts = std::max(hosts, world_.pool(pool).num_hosts());
    while (!best_.empty() && (hosts /= 2) > 0) {
      whole_ = Supply(world_, question_.pools, hosts);
      const double ideal_ns = static_cast<double>(question_.samples) / speed_of(all());
      if (ideal_ns >= static_cast<double>(best_.front().step_ns)) break;
      form_teams();
    }
    whole_ = Supply(world_, question_.pools);
    total_speed_ = speed_of(all());
  }

  IslandAnswer answer(std::vector<IslandShape> shapes) {
    for (const IslandShape& shape : shapes) note_pools(shape);
    return {std::move(shapes), std::move(step_with_pool_)};
  }

  void note_pools(const IslandShape& shape) {
    for (const PipelineGroup& group : shape.groups) {
      for (const StageShape& stage : group.pipeline.stages) {
        const auto [entry, is_new] = step_with_pool_.emplace(stage.pool, shape.step_ns);
        if (!is_new) entry->second = std::min(entry->second, shape.step_ns);
      }
    }
  }

  // The complete search knows better than teams; these only help where it gave up.
  std::vector<IslandShape> small_shapes() {
    std::vector<IslandShape> result = search_small(world_, question_);
    if (result.empty()) result = std::move(best_);
    result.erase(std::ranges::unique(result, is_equal).begin(), result.end());
    return result;
  }

  static bool is_equal(const IslandShape& a, const IslandShape& b) {
    return std::ranges::equal(a.groups, b.groups, [](const auto& one, const auto& other) {
      return one.pipeline == other.pipeline && one.replicas == other.replicas &&
             one.is_compact == other.is_compact && one.samples == other.samples;
    });
  }

  // Closed forms know schedules less well than anything else: the simulator shall see both.
  void add_other_flows(std::vector<IslandShape>& shapes) const {
    const size_t count = std::min(shapes.size(), num_polished_);
    for (size_t i = 0; i < count; ++i) {
      IslandShape other = shapes[i];
      for (PipelineGroup& group : other.groups) {
        if (group.pipeline.num_stages() == 1) continue;
        Flow& flow = group.pipeline.flow;
        flow = flow == Flow::k1f1b ? Flow::kZeroBubble : Flow::k1f1b;
        if (!world_.limits().allows(name_of(flow))) return;
      }
      if (price_shape(world_, other, question_.samples)) shapes.push_back(std::move(other));
    }
  }

  // Samples a nanosecond, all devices busy without a pause.
  double speed_of(Team team) const {
    double speed = 0;
    for (size_t i = 0; i < question_.pools.size(); ++i) {
      if (team >> i & 1) speed += speed_of_free(whole_, question_.pools[i]);
    }
    return speed;
  }
  double speed_of_free(const Supply& supply, int pool) const {
    return ideal_speed(world_, pool) * supply.free(pool) / world_.pool(pool).num_devices();
  }

  const std::vector<PipelineGroup>& options_of(Team team) {
    const auto known = options_.find(team);
    if (known != options_.end()) return known->second;
    const double share = speed_of(team) / total_speed_;
    TeamQuestion ask;
    for (size_t i = 0; i < question_.pools.size(); ++i) {
      if (team >> i & 1) ask.pools.push_back(question_.pools[i]);
    }
    ask.samples = std::clamp<int64_t>(
        static_cast<int64_t>(share * static_cast<double>(question_.samples) + 0.5), 1,
        question_.samples);
    ask.other_pipelines = other_pipelines_;
    ask.num_wanted = kOptionsOfTeam;
    return options_.emplace(team, search_team(world_, whole_, ask)).first->second;
  }

  // All ways to divide the pools of `rest` into teams or leave them out.
  void partition(Team rest, std::vector<Team> teams) {
    if (rest == 0) {
      offer(teams);
      return;
    }
    const Team first = rest & -rest, others = rest & ~first;
    partition(others, teams);
    for (Team with = others;; with = (with - 1) & others) {
      teams.push_back(first | with);
      partition(others & ~with, teams);
      teams.pop_back();
      if (with == 0) break;
    }
  }

  // From single pools on, two teams become one, or one is left out, while that helps.
  void merge_greedily() {
    std::vector<Team> teams;
    for (size_t i = 0; i < question_.pools.size(); ++i) teams.push_back(Team{1} << i);
    int64_t ns = offer(teams);
    for (bool is_better = true; is_better;) {
      is_better = false;
      std::vector<Team> best = teams;
      for (size_t a = 0; a < teams.size(); ++a) {
        for (size_t b = a; b < teams.size(); ++b) {
          if (a == b && teams.size() == 1) continue;
          std::vector<Team> trial = teams;
          trial.erase(trial.begin() + static_cast<std::ptrdiff_t>(b));
          if (a != b) trial[a] |= teams[b];
          const int64_t trial_ns = offer(trial);
          if (trial_ns >= ns) continue;
          ns = trial_ns;
          best = trial;
          is_better = true;
        }
      }
      teams = best;
    }
    offer({all()});
  }

  // The best choice of one option for each team; INT64_MAX if there is none.
  int64_t offer(const std::vector<Team>& teams) {
    if (teams.empty() || (!best_.empty() && world_.is_over_budget())) return INT64_MAX;
    std::vector<const std::vector<PipelineGroup>*> options;
    for (Team team : teams) {
      options.push_back(&options_of(team));
      if (options.back()->empty()) return INT64_MAX;
    }
    std::vector<size_t> choice(teams.size(), 0);
    IslandShape best;
    const auto price = [&](const std::vector<size_t>& picked) {
      IslandShape island;
      for (size_t t = 0; t < picked.size(); ++t) island.groups.push_back((*options[t])[picked[t]]);
      return price_shape(world_, island, question_.samples) ? island : IslandShape{{}, INT64_MAX};
    };
    best = price(choice);
    for (bool is_better = true; is_better;) {
      is_better = false;
      for (size_t t = 0; t < teams.size(); ++t) {
        for (size_t option = 0; option < options[t]->size(); ++option) {
          if (option == choice[t]) continue;
          std::vector<size_t> trial = choice;
          trial[t] = option;
          IslandShape island = price(trial);
          if (island.step_ns == INT64_MAX) continue;
          if (island.step_ns >= best.step_ns) {
            keep(std::move(island));
            continue;
          }
          std::swap(best, island);
          choice = trial;
          is_better = true;
          if (island.step_ns < INT64_MAX) keep(std::move(island));
        }
      }
    }
    const int64_t ns = best.step_ns;
    if (ns < INT64_MAX) keep(std::move(best));
    return ns;
  }

  void keep(IslandShape island) {
    note_pools(island);
    const auto place = std::ranges::upper_bound(best_, island.step_ns, {}, &IslandShape::step_ns);
    const bool is_known = std::any_of(best_.begin(), place, [&](const IslandShape& other) {
      return other.step_ns == island.step_ns && is_equal(other, island);
    });
    if (is_known) return;
    best_.insert(place, std::move(island));
    if (best_.size() > 2 * num_wanted_) best_.pop_back();
  }

  // Devices that no team took, as further pipelines.
  void add_leftovers(IslandShape& island) const {
    for (int round = 0; round < 3; ++round) {
      Supply left = whole_;
      if (!left.take(island)) return;
      std::vector<std::vector<int>> teams;
      std::vector<int> some;
      for (int pool : question_.pools) {
        if (left.free(pool) == 0) continue;
        some.push_back(pool);
        teams.push_back({pool});
      }
      if (some.size() > 1) teams.push_back(some);
      std::optional<IslandShape> best;
      for (const std::vector<int>& pools : teams) {
        TeamQuestion ask{pools, 1, 1, 3};
        double speed = 0;
        for (int pool : pools) speed += speed_of_free(left, pool);
        ask.samples = std::clamp<int64_t>(
            static_cast<int64_t>(speed / total_speed_ * static_cast<double>(question_.samples)), 1,
            question_.samples);
        for (PipelineGroup& group : search_team(world_, left, ask)) {
          IslandShape trial = island;
          trial.groups.push_back(std::move(group));
          if (!price_shape(world_, trial, question_.samples)) continue;
          if (trial.step_ns < (best ? best->step_ns : island.step_ns)) best = std::move(trial);
        }
      }
      if (!best) return;
      island = std::move(*best);
    }
  }

  const World& world_;
  const IslandQuestion& question_;
  Supply whole_;
  size_t num_wanted_ = kWanted, num_polished_ = kPolished;
  double total_speed_ = 1;
  int other_pipelines_ = 0;
  std::map<Team, std::vector<PipelineGroup>> options_;
  std::vector<IslandShape> best_;
  std::map<int, int64_t> step_with_pool_;
};

}  // namespace

IslandAnswer search_island(const World& world, const IslandQuestion& question) {
  return IslandSearch(world, question).run();
}

}  // namespace skarv
