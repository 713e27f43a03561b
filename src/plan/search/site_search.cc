#include "plan/search/site_search.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "plan/search/island_time.h"

namespace skarv {
namespace {

constexpr int kSharings = 4;            // corrections of the shares by the speeds found
constexpr size_t kMostPartitioned = 3;  // sites of which all partitions are tried
constexpr size_t kKept = 12;
constexpr int64_t kSmallSite = 64;  // devices; larger ones are joined only if they must

class SiteSearch {
 public:
  SiteSearch(const World& world, int64_t global_batch, int min_islands)
      : world_(world), global_batch_(global_batch), min_islands_(min_islands) {}

  std::vector<WholeShape> run() {
    std::vector<int> sites;
    int64_t num_devices = 0;
    for (size_t s = 0; s < world_.sites().size(); ++s) {
      if (world_.sites()[s].num_devices == 0) continue;
      sites.push_back(static_cast<int>(s));
      num_devices += world_.sites()[s].num_devices;
    }
    std::vector<std::vector<int>> singles;
    for (int site : sites) singles.push_back({site});
    offer(singles);
    const bool may_join = world_.limits().island_may_span_sites && sites.size() > 1;
    if (sites.size() <= kMostPartitioned && num_devices <= kSmallSite) {
      partition(sites, {}, may_join);
    } else if (may_join && (found_.empty() || !found_.front().left_out.empty())) {
      join_the_weak(sites);
    }
    if (num_devices <= kSmallSite) nudge();
    return std::move(found_);
  }

 private:
  // A sample or two from the slowest island to another, as long as that helps: shapes change with
  // the samples, which sharing in proportion does not see.
  void nudge() {
    for (bool is_better = true; is_better && !found_.empty();) {
      is_better = false;
      const WholeShape best = found_.front();
      size_t slowest = 0;
      for (size_t i = 0; i < best.islands.size(); ++i) {
        if (best.islands[i].step_ns() > best.islands[slowest].step_ns()) slowest = i;
      }
      for (size_t to = 0; to < best.islands.size(); ++to) {
        for (int64_t moved : {1, 2}) {
          if (to == slowest || best.islands[slowest].samples <= moved) continue;
          WholeShape whole;
          for (size_t i = 0; i < best.islands.size(); ++i) {
            const int64_t change = i == to ? moved : i == slowest ? -moved : 0;
            whole.islands.push_back(
                choice_for(best.islands[i].sites, best.islands[i].samples + change));
            if (whole.islands.back().shapes.empty()) break;
          }
          if (whole.islands.size() < best.islands.size() || whole.islands.back().shapes.empty()) {
            continue;
          }
          is_better |= whole.step_ns() < found_.front().step_ns();
          keep(std::move(whole));
        }
      }
    }
  }

  IslandChoice choice_for(const std::vector<int>& sites, int64_t samples) {
    IslandChoice choice{sites, samples, {}, {}};
    if (samples == 0) return choice;
    IslandAnswer answer = shapes_of(sites, samples);
    choice.shapes = std::move(answer.shapes);
    choice.step_with_pool = std::move(answer.step_with_pool);
    return choice;
  }

  void partition(std::vector<int> rest, std::vector<std::vector<int>> islands, bool may_join) {
    if (rest.empty()) {
      if (!islands.empty()) offer(islands);
      return;
    }
    const int first = rest.back();
    rest.pop_back();
    partition(rest, islands, may_join);  // left out
    for (size_t i = 0; may_join && i < islands.size(); ++i) {
      std::vector<std::vector<int>> joined = islands;
      joined[i].push_back(first);
      partition(rest, joined, may_join);
    }
    islands.push_back({first});
    partition(rest, islands, may_join);
  }

  // Sites that cannot hold the model: all together, and each with its best linked neighbour.
  void join_the_weak(const std::vector<int>& sites) {
    std::vector<int> weak;
    std::vector<std::vector<int>> strong;
    for (int site : sites) {
      if (shapes_of({site}, fair_share({site})).shapes.empty()) {
        weak.push_back(site);
      } else {
        strong.push_back({site});
      }
    }
    if (weak.empty()) return;
    std::vector<std::vector<int>> islands = strong;
    islands.push_back(weak);
    offer(islands);
    islands = strong;
    for (int site : weak) {
      size_t best = islands.size();
      double bandwidth = 0;
      for (size_t i = 0; i < islands.size(); ++i) {
        const double found = bandwidth_between(site, islands[i].front());
        if (found <= bandwidth) continue;
        bandwidth = found;
        best = i;
      }
      if (best < islands.size()) {
        islands[best].push_back(site);
      } else {
        islands.push_back({site});
      }
    }
    offer(islands);
  }

  double bandwidth_between(int a, int b) const {
    return world_.between(world_.sites()[a].pools.front(), world_.sites()[b].pools.front())
        .bandwidth;
  }

  double speed_of(const std::vector<int>& sites) const {
    double speed = 0;
    for (int site : sites) {
      for (int pool : world_.sites()[site].pools) speed += ideal_speed(world_, pool);
    }
    return speed;
  }

  int64_t fair_share(const std::vector<int>& sites) const {
    double all = 0;
    for (const Pool& pool : world_.pools()) {
      all += ideal_speed(world_, static_cast<int>(&pool - world_.pools().data()));
    }
    const double share = speed_of(sites) / all * static_cast<double>(global_batch_);
    return std::clamp<int64_t>(static_cast<int64_t>(share + 0.5), 1, global_batch_);
  }

  // Islands of equal pools and samples are searched once.
  IslandAnswer shapes_of(const std::vector<int>& sites, int64_t samples) {
    IslandQuestion question;
    question.samples = samples;
    for (int site : sites) {
      for (int pool : world_.sites()[site].pools) {
        if (world_.pool(pool).num_devices() > 0) question.pools.push_back(pool);
      }
    }
    std::vector<int64_t> key = {samples};
    if (sites.size() == 1) {
      for (int pool : question.pools) {
        key.push_back(world_.pool(pool).likeness);
        key.push_back(world_.pool(pool).num_devices() - world_.pool(pool).num_idle);
      }
    } else {
      key.push_back(-1);
      key.insert(key.end(), sites.begin(), sites.end());
    }
    auto known = known_.find(key);
    if (known == known_.end()) {
      Known entry{question.pools, search_island(world_, question)};
      known = known_.emplace(key, std::move(entry)).first;
    }
    IslandAnswer answer = known->second.answer;
    const std::vector<int>& from = known->second.pools;
    std::map<int, int64_t> step_with_pool;
    for (const auto& [pool, ns] : answer.step_with_pool) {
      step_with_pool[question.pools[std::ranges::find(from, pool) - from.begin()]] = ns;
    }
    answer.step_with_pool = std::move(step_with_pool);
    for (IslandShape& shape : answer.shapes) {
      for (PipelineGroup& group : shape.groups) {
        for (StageShape& stage : group.pipeline.stages) {
          const auto place = std::ranges::find(from, stage.pool) - from.begin();
          stage.pool = question.pools[place];
        }
      }
    }
    return answer;
  }

  // Shares by speed, then by what the shapes found really take.
  void offer(std::vector<std::vector<int>> islands) {
    std::vector<int64_t> samples;
    std::vector<double> speeds;
    for (const std::vector<int>& sites : islands) speeds.push_back(speed_of(sites));
    samples = share(speeds);
    for (int round = 0; round < kSharings; ++round) {
      if (!found_.empty() && world_.is_over_budget()) return;
      WholeShape whole;
      std::vector<std::vector<int>> alive;
      std::vector<double> alive_speeds;
      bool is_complete = true;
      for (size_t i = 0; i < islands.size(); ++i) {
        IslandChoice choice = choice_for(islands[i], samples[i]);
        if (choice.shapes.empty()) {
          is_complete = false;
          continue;
        }
        alive.push_back(islands[i]);
        alive_speeds.push_back(speeds[i]);
        whole.islands.push_back(std::move(choice));
      }
      if (static_cast<int>(alive.size()) < std::max(1, min_islands_)) return;
      if (!is_complete) {  // share anew among those that can
        islands = alive;
        speeds = alive_speeds;
        samples = share(speeds);
        continue;
      }
      const std::vector<int64_t> next = balance(world_, whole, global_batch_);
      keep(std::move(whole));
      if (next == samples) return;
      samples = next;
      for (size_t i = 0; i < samples.size(); ++i) {
        speeds[i] = static_cast<double>(std::max<int64_t>(1, samples[i]));
      }
    }
  }

  // In proportion, nobody without.
  std::vector<int64_t> share(const std::vector<double>& speeds) const {
    double all = 0;
    for (double speed : speeds) all += speed;
    std::vector<int64_t> samples;
    int64_t left = global_batch_;
    for (double speed : speeds) {
      samples.push_back(std::min<int64_t>(
          left, static_cast<int64_t>(speed / all * static_cast<double>(global_batch_))));
      left -= samples.back();
    }
    for (size_t i = 0; left > 0; i = (i + 1) % samples.size(), --left) ++samples[i];
    for (int64_t& mine : samples) {
      auto largest = std::ranges::max_element(samples);
      if (mine > 0 || *largest < 2) continue;
      mine = 1;
      --*largest;
    }
    return samples;
  }

  void keep(WholeShape whole) {
    std::vector<bool> used(world_.sites().size(), false);
    for (const IslandChoice& choice : whole.islands) {
      for (int site : choice.sites) used[site] = true;
    }
    for (size_t site = 0; site < used.size(); ++site) {
      if (!used[site]) whole.left_out.push_back(static_cast<int>(site));
    }
    const auto place = std::ranges::upper_bound(found_, whole.step_ns(), {}, &WholeShape::step_ns);
    found_.insert(place, std::move(whole));
    ++num_kept_;
    if (world_.limits().progress) {
      const double expected = kSharings + num_kept_;
      world_.limits().progress(num_kept_ / expected,
                               static_cast<double>(found_.front().step_ns()) * 1e-9);
    }
    if (found_.size() > kKept) found_.pop_back();
  }

  struct Known {
    std::vector<int> pools;
    IslandAnswer answer;
  };

  const World& world_;
  const int64_t global_batch_;
  const int min_islands_;
  std::map<std::vector<int64_t>, Known> known_;
  std::vector<WholeShape> found_;
  int num_kept_ = 0;
};

}  // namespace

int64_t WholeShape::step_ns() const {
  int64_t slowest = 0;
  for (const IslandChoice& choice : islands) slowest = std::max(slowest, choice.step_ns());
  return slowest;
}

std::vector<int64_t> balance(const World& world, const WholeShape& whole, int64_t global_batch) {
  const auto within = [&](int64_t ns) {
    std::vector<int64_t> each;
    for (const IslandChoice& choice : whole.islands) {
      each.push_back(samples_within(world, choice.shapes.front(), ns, global_batch));
    }
    return each;
  };
  const auto sum = [](const std::vector<int64_t>& each) {
    return std::accumulate(each.begin(), each.end(), int64_t{0});
  };
  int64_t low = 0, high = whole.step_ns();
  std::vector<int64_t> best;
  while (low <= high) {
    const int64_t middle = low + (high - low) / 2;
    std::vector<int64_t> each = within(middle);
    if (sum(each) >= global_batch) {
      best = std::move(each);
      high = middle - 1;
    } else {
      low = middle + 1;
    }
  }
  if (best.empty()) {
    for (const IslandChoice& choice : whole.islands) best.push_back(choice.samples);
    return best;
  }
  // Pipelines take samples by the dozen: what is missing in a moment less goes to as few islands as
  // can take it, the others keep what they would have.
  std::vector<int64_t> samples = within(low - 1);
  int64_t left = global_batch - sum(samples);
  for (size_t i = best.size(); left > 0 && i-- > 0;) {
    const int64_t added = std::min(left, best[i] - samples[i]);
    samples[i] += added;
    left -= added;
  }
  return samples;
}

std::vector<WholeShape> search_sites(const World& world, int64_t global_batch, int min_islands) {
  return SiteSearch(world, global_batch, min_islands).run();
}

}  // namespace skarv
