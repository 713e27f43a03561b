#include "plan/search/chooser.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "plan/search/poorer_cluster.h"
#include "plan/search/reasons.h"
#include "plan/search/refine.h"

namespace skarv {
namespace {

constexpr int kTightenings = 4;  // a pool's memory is lowered by what the simulator found too much
constexpr size_t kNumFinalists = 4, kNumOfLarge = 2;  // of hundreds of devices, of thousands
// Parts of memory and bandwidth that few devices are thought to have as well.
constexpr std::pair<double, double> kLess[] = {{0.75, 1}, {0.5, 1}, {1, 0.5}};
// Up to kFewDevices clusters with devices less are looked at too, as many ...
constexpr int64_t kLeastClusters = 8, kClusterDevices = 640;
// ... by their devices, where the answer before it is refined is at most this much longer than the
// refined one of the cluster with one more: parts in a hundred, of a handful of devices and beyond.
constexpr int64_t kHandful = 6, kNearlyOfHandful = 30, kNearly = 2;
// Closed forms are above what is played by no more than this, one part in so many: what they find
// longer by more is not played.
constexpr int64_t kEstimatesOff = 10;
// Different plans that are refined, each for a tenth of a second at first; of many devices the best
// alone, for a moment.
constexpr size_t kNumRefinedOfHandful = 16, kNumRefined = 6, kNumRefinedOfPoorer = 4;
constexpr int64_t kMedium = 512, kLarge = 1024;  // devices
constexpr int64_t kActionsOfFew = 500'000, kActionsOfMany = 200'000;
constexpr int64_t kActionsOfBest = 2'500'000, kActionsOfLargeBest = 5'500'000;
// The answer is refined with several edits at once: so much in all, as long as no more than this
// is in vain one after the other; of few devices so much for each.
constexpr int64_t kActionsOfDraws = 4'000'000, kActionsOfFewDraws = 10'000'000;
constexpr int64_t kLeastInVain = 2'000'000, kInVainOfDevice = 62'500;
constexpr int64_t kActionsOfPiece = 25'000'000, kPieces = 4;  // of a thorough refinement
constexpr double kRefining = 0.95;            // of all that is done, as far as is known
constexpr int64_t kMostOfFewer = 12'000'000;  // before smaller clusters are looked at no more
constexpr int64_t kActionsOfFinals = 1'000'000, kActionsOfFewFinals = 1'500'000;
constexpr int64_t kMostActions = 7'000'000;  // of a cluster; only the best is refined after that

class Chooser {
 public:
  explicit Chooser(const Question& question)
      : question_(question), first_action_(question.pricer.book().num_actions) {}

  Result<Chosen> run() {
    SKARV_ASSIGN(World world, make_world());
    if (question_.global_batch < 1) {
      return config_error(cat("global_batch = ", question_.global_batch, " is not positive"))
          .at("run.global_batch")
          .with_hint("give the samples of a step");
    }
    SKARV_ASSIGN(const std::optional<Finalist> best, find(world));
    if (hopeless_ns_ > 0) return Chosen{.step_ns = hopeless_ns_};
    if (!best) {
      SKARV_ASSIGN(World all, make_world());
      return does_not_fit(question_.pricer, question_.global_batch, std::move(all));
    }
    Chosen chosen;
    chosen.step_ns = best->step_ns;
    PricedPlan priced = plan_of(*best);
    chosen.plan = priced.plan;
    chosen.alternatives = alternatives(world, others_, *best);
    SKARV_TRY(refine_starts(world, std::move(priced), chosen));
    if (question_.looks_at_poorer) {
      SKARV_TRY(take_poorer(world, chosen));
      SKARV_TRY(draw_edits(world, chosen));
    }
    add_idle(world, found_, *best, chosen.plan);
    if (question_.looks_at_single_chips && question_.limits.compares_types)
      SKARV_TRY(add_best_single(world, chosen));
    return chosen;
  }

 private:
  // The best plan that fits, as the search has it; the runners-up are starts_. Nothing: none fits.
  Result<std::optional<Finalist>> find(World& world) {
    const int64_t count = world.num_devices();
    for (int round = 0; round < kTightenings; ++round) {
      found_ = search_sites(world, question_.global_batch, question_.min_islands);
      if (count <= static_cast<int64_t>(kFewDevices)) {
        look_at_less(world);
      } else if (count > kLarge) {
        look_without_hosts(world);
      }
      if (found_.empty()) break;
      const int64_t least_ns = std::ranges::min(found_, {}, &WholeShape::step_ns).step_ns();
      if (least_ns - least_ns / kEstimatesOff > question_.worth_ns) {
        hopeless_ns_ = least_ns;
        break;
      }
      SKARV_ASSIGN(std::optional<Finalist> best, best_of(world));
      if (!best || best->overflow_bytes == 0) return best;
      world.lower_memory(best->fullest, best->overflow_bytes);
    }
    return std::optional<Finalist>();
  }

  // Closed forms rank otherwise where memory or links are scarcer, and see other shapes; a device
  // too many can keep the others from forming equal pipelines. What a poorer cluster would find is
  // judged too, so that a richer one does not overlook it.
  void look_at_less(const World& world) {
    const auto look_at = [&](const World& less) {
      if (world.is_over_budget()) return;
      std::vector<WholeShape> found =
          search_sites(less, question_.global_batch, question_.min_islands);
      std::ranges::move(found, std::back_inserter(found_));
    };
    const bool is_handful = world.num_devices() <= kHandful;  // searched completely
    for (size_t pool = 0; !is_handful && pool < world.pools().size(); ++pool) {
      if (world.pools()[pool].num_devices() > 0) look_at(world.with_idle(static_cast<int>(pool)));
    }
    if (!is_handful && !question_.looks_at_less) return;
    for (const auto& [memory, bandwidth] : kLess) look_at(world.lessened(memory, bandwidth));
  }

  // The same for thousands of devices, a host of each pool left out.
  void look_without_hosts(const World& world) {
    for (size_t pool = 0; pool < world.pools().size(); ++pool) {
      const Pool& devices = world.pools()[pool];
      if (devices.num_hosts() < 2 || world.is_over_budget()) continue;
      std::vector<WholeShape> found =
          search_sites(world.with_idle(static_cast<int>(pool), devices.per_host),
                       question_.global_batch, question_.min_islands);
      std::ranges::move(found, std::back_inserter(found_));
    }
    std::ranges::stable_sort(found_, {}, [](const WholeShape& whole) { return whole.step_ns(); });
  }

  // Refines the chosen plan and the runners-up, and chooses the best.
  Status refine_starts(const World& world, PricedPlan first, Chosen& chosen) {
    if (chosen.step_ns > question_.worth_ns || world.is_over_budget()) return {};
    if (!question_.pricer.plays_are_costly()) {
      SKARV_ASSIGN(first, refined_briefly(world, std::move(first)));
    }
    SKARV_TRY(refine_longer(world, first));
    const int64_t step_ns = std::ranges::max(first.island_ns);
    if (step_ns >= chosen.step_ns) return {};
    chosen.step_ns = step_ns;
    chosen.plan = std::move(first.plan);
    return {};
  }

  // All a little, those that are best then some more, in the end the best one.
  Result<PricedPlan> refined_briefly(const World& world, PricedPlan first) {
    const int64_t count = world.num_devices();
    PricedPlan other = first;
    std::vector<PricedPlan> starts = {std::move(first)};
    if (count <= static_cast<int64_t>(kFewDevices)) {
      starts.insert(starts.end(), starts_.begin(), starts_.end());
    }
    std::set<std::vector<int64_t>> seen;  // equal to the nanosecond: one plan in other words
    std::erase_if(starts,
                  [&](const PricedPlan& start) { return !seen.insert(start.island_ns).second; });
    const auto step_of = [](const PricedPlan& plan) { return std::ranges::max(plan.island_ns); };
    const int64_t least = count <= kLarge ? kActionsOfFew : kActionsOfMany;
    for (const int64_t effort : {least, 2 * least}) {
      for (PricedPlan& start : starts) {
        if (world.is_over_budget() || (&start != &starts.front() && is_late(kMostActions))) break;
        SKARV_TRY(refine(question_.pricer, question_.limits, {effort}, tried_, start).status());
      }
      if (count > kLarge) break;
      std::ranges::stable_sort(starts, {}, step_of);
      starts.resize(std::min(starts.size(), std::max<size_t>(2, starts.size() / 2)));
    }
    PricedPlan last = starts.front();
    if (count <= kLarge && !world.is_over_budget()) {
      const int64_t most = count <= kMedium ? kActionsOfBest : kActionsOfLargeBest;
      SKARV_TRY(refine(question_.pricer, question_.limits, {most}, tried_, last).status());
    }
    if (count > static_cast<int64_t>(kFewDevices) && count <= kMedium && !world.is_over_budget()) {
      // Which change comes first decides where the way ends, so another one is gone too.
      const RefineEffort effort{.most_actions = kActionsOfBest, .by_island = true};
      SKARV_TRY(refine(question_.pricer, question_.limits, effort, tried_, other).status());
      if (step_of(other) < step_of(last)) last = std::move(other);
    }
    return last;
  }

  // If somebody wants to wait for that, in pieces: the budget may be over before.
  Status refine_longer(const World& world, PricedPlan& plan) {
    const PriceBook& book = question_.pricer.book();
    bool has_more = question_.limits.thorough;
    for (int piece = 0; piece < kPieces && has_more && !world.is_over_budget(); ++piece) {
      const int64_t before = book.num_actions;
      SKARV_ASSIGN(const int64_t step_ns,
                   refine(question_.pricer, question_.limits, {kActionsOfPiece}, tried_, plan));
      if (question_.limits.progress) {
        question_.limits.progress(kRefining, static_cast<double>(step_ns) * 1e-9);
      }
      has_more = book.num_actions - before >= kActionsOfPiece;
    }
    return {};
  }

  // The answer's neighbours by several edits at once; for the answer alone, since they are many.
  Status draw_edits(const World& world, Chosen& chosen) {
    if (world.num_devices() > kMedium || world.is_over_budget()) return {};
    if (question_.pricer.plays_are_costly()) return {};
    PricedPlan plan{chosen.plan, {}};
    for (const Island& island : plan.plan.islands) {
      SKARV_ASSIGN(const IslandStep step, question_.pricer.play(island, plan.plan.owner_share));
      plan.island_ns.push_back(step.trace.step_ns);
    }
    const int64_t count = world.num_devices();
    const bool is_few = count <= static_cast<int64_t>(kFewDevices);
    const int64_t in_vain = std::max(kLeastInVain, is_few ? count * kInVainOfDevice : 0);
    const RefineEffort effort{.most_actions = is_few ? kActionsOfFewDraws : kActionsOfDraws,
                              .most_in_vain = in_vain,
                              .draws = true,
                              .by_island = !is_few};
    SKARV_ASSIGN(chosen.step_ns, refine(question_.pricer, question_.limits, effort, tried_, plan));
    chosen.plan = std::move(plan.plan);
    return {};
  }

  bool is_late(int64_t most) const {
    return question_.pricer.book().num_actions - first_action_ >= most;
  }

  Result<World> make_world() const {
    const StepWorld& step = question_.pricer.world();
    return make_world(step.cluster, step.links);
  }

  Result<World> make_world(const Cluster& cluster, const Profile& links) const {
    const StepWorld& step = question_.pricer.world();
    SKARV_ASSIGN(World world, World::create(step.workload, cluster, links, step.precision,
                                            question_.tied_parameters, question_.limits));
    world.remember_orders(&question_.pricer.book().orders);
    return world;
  }

  Result<std::optional<Finalist>> best_of(const World& world) {
    std::vector<Finalist> finalists;
    Status failed;
    const bool is_few = world.num_devices() <= static_cast<int64_t>(kFewDevices);
    const size_t num_refined = world.num_devices() <= kHandful ? kNumRefinedOfHandful
                               : question_.looks_at_poorer     ? kNumRefined
                                                               : kNumRefinedOfPoorer;
    const int64_t most_actions = is_few ? kActionsOfFewFinals : kActionsOfFinals;
    Finals finals(world, question_.pricer, std::max(num_refined, kNumAlternatives + 1),
                  world.is_over_budget() ? 0 : most_actions);
    others_.clear();
    starts_.clear();
    bool has_fitting = false;
    const size_t most = is_few                         ? found_.size()
                        : world.num_devices() > kLarge ? kNumOfLarge
                                                       : kNumFinalists;
    for (size_t i = 0; i < std::min(most, found_.size()); ++i) {
      const bool is_enough = world.is_over_budget() || question_.pricer.plays_are_costly();
      if (has_fitting && is_enough) break;
      Result<std::optional<Finalist>> judged = finals.judge(found_[i]);
      if (!judged.ok()) {
        if (!is_unfit(judged.status())) return judged.status();
        failed = judged.status();
        continue;
      }
      if (!*judged) continue;
      for (const Finalist::Other& other : (*judged)->others) {
        others_.emplace_back(other.step_ns, other.text);
      }
      has_fitting |= (*judged)->overflow_bytes == 0;
      finalists.push_back(std::move(**judged));
    }
    if (finalists.empty()) {
      if (!failed.ok()) return failed;
      return std::optional<Finalist>();
    }
    std::ranges::stable_sort(finalists, {}, [](const Finalist& one) {
      return std::pair(one.overflow_bytes, one.step_ns);
    });
    if (is_few) keep_starts(finals, finalists, num_refined);
    Finalist best = std::move(finalists.front());
    if (best.overflow_bytes == 0) {
      if (!world.is_over_budget()) finals.share_anew(question_.global_batch, best);
      if (!world.is_over_budget()) finals.move_layers(best);
    }
    return std::optional<Finalist>(std::move(best));
  }

  // Of all that fits, the best of each description but the first.
  void keep_starts(Finals& finals, const std::vector<Finalist>& finalists, size_t num_refined) {
    struct Start {
      int64_t step_ns;
      const Finalist* finalist;
      const Finalist::Other* other;
    };
    std::vector<Start> starts;
    for (const Finalist& finalist : finalists) {
      if (finalist.overflow_bytes > 0) continue;
      for (const Finalist::Other& other : finalist.others) {
        starts.push_back({other.step_ns, &finalist, &other});
      }
    }
    std::ranges::stable_sort(starts, {}, &Start::step_ns);
    std::set<std::string> seen;
    for (const Start& start : starts) {
      if (starts_.size() + 1 >= num_refined) break;
      if (!seen.insert(start.other->text).second || seen.size() == 1) continue;
      starts_.push_back(finals.plan_of(*start.finalist, *start.other));
    }
  }

  // The best plans of the cluster with less memory and of clusters with some devices less: a search
  // that is not complete may overlook in this one what it finds there. Of the smaller ones, those
  // whose own answer is nearly as good are refined, and looked at without a further device. Whether
  // a cluster is looked at depends on it and on the one with a device more alone: so this cluster
  // sees all that they would see.
  Status take_poorer(const World& world, Chosen& best) const {
    const int64_t count = world.num_devices();
    if (count > static_cast<int64_t>(kFewDevices) || world.is_over_budget()) return {};
    const StepWorld& step = question_.pricer.world();
    const int64_t nearly = count <= kHandful ? kNearlyOfHandful : kNearly;
    const auto worth_of = [&](int64_t ns) { return ns + ns * nearly / 100; };
    const PoorerCluster less = with_less_memory(step.cluster, step.devices);
    SKARV_TRY(take_if_better(less, worth_of(best.step_ns), true, best).status());
    std::multimap<int64_t, PoorerCluster> open;  // by the refined step of the cluster with one more
    std::set<std::set<std::string>> seen;
    const auto add_smaller = [&](const World& of, const Cluster& cluster,
                                 const std::map<std::string, std::string>* names, int64_t ns) {
      for (PoorerCluster& poorer : without_a_device(of, cluster)) {
        std::set<std::string> left;
        for (auto& [name, real] : poorer.real_names) {
          if (names != nullptr) real = names->at(real);
          left.insert(real);
        }
        if (seen.insert(std::move(left)).second) open.emplace(ns, std::move(poorer));
      }
    };
    add_smaller(world, step.cluster, nullptr, best.step_ns);
    const int64_t most = std::max<int64_t>(kLeastClusters, kClusterDevices / count);
    for (int64_t i = 0; i < most && !open.empty() && !world.is_over_budget(); ++i) {
      if (is_late(kMostOfFewer)) break;
      const auto [parent_ns, poorer] = std::move(*open.begin());
      open.erase(open.begin());
      const int64_t worth_ns = worth_of(parent_ns);
      SKARV_ASSIGN(const std::optional<int64_t> ns, take_if_better(poorer, worth_ns, false, best));
      if (!ns || *ns > worth_ns) continue;
      const Result<World> smaller = make_world(poorer.cluster, links_of(poorer));
      if (smaller.ok()) add_smaller(*smaller, poorer.cluster, &poorer.real_names, *ns);
    }
    return {};
  }

  // What the poorer cluster's own answer takes, without a look at others; nothing: it has none.
  Result<std::optional<int64_t>> take_if_better(const PoorerCluster& poorer, int64_t worth_ns,
                                                bool looks_at_less, Chosen& best) const {
    const StepWorld& step = question_.pricer.world();
    const Result<DeviceIndex> devices = index_devices(poorer.cluster);
    if (!devices.ok()) return std::optional<int64_t>();
    const HostIndex hosts = index_hosts(poorer.cluster);
    const Profile links = links_of(poorer);
    const StepWorld smaller{step.workload, poorer.cluster, *devices, hosts, links, step.precision};
    const Pricer pricer(smaller, question_.pricer.slabs(), question_.pricer.book());
    Question question{pricer, question_.global_batch, question_.min_islands,
                      question_.tied_parameters, question_.limits};
    question.limits.thorough = false;
    question.looks_at_poorer = false;
    question.looks_at_less = looks_at_less;
    question.looks_at_single_chips = false;
    question.worth_ns = worth_ns;
    Result<Chosen> chosen = Chooser(question).run();
    if (!chosen.ok()) {
      if (is_unfit(chosen.status())) return std::optional<int64_t>();
      return chosen.status();
    }
    if (chosen->step_ns < best.step_ns) {
      best.step_ns = chosen->step_ns;
      best.plan = std::move(chosen->plan);
      rename_devices(poorer.real_names, best.plan);
    }
    return std::optional(chosen->step_ns);
  }

  // With what was measured of the poorer cluster's devices, by their names there.
  Profile links_of(const PoorerCluster& poorer) const {
    Profile links = question_.pricer.world().links;
    std::vector<DeviceMeasure> measures;
    for (const auto& [name, real] : poorer.real_names) {
      for (DeviceMeasure measure : links.devices) {
        if (measure.device != real) continue;
        measure.device = name;
        measures.push_back(measure);
      }
    }
    links.devices = std::move(measures);
    return links;
  }

  // The best plan that uses one type of chip alone, refined as every start is at first. Cut short
  // it would flatter the answer: without time there is none.
  Status add_best_single(const World& world, Chosen& chosen) const {
    std::set<std::string> chips;
    for (const Pool& pool : world.pools()) chips.insert(pool.chip.name);
    if (chips.size() < 2 || world.is_over_budget()) return {};
    const PriceBook& book = question_.pricer.book();
    const bool is_few = world.num_devices() <= static_cast<int64_t>(kFewDevices);
    struct Alone {
      std::string chip;
      World world;
      WholeShape shape;
    };
    std::vector<Alone> all;
    for (const std::string& chip : chips) {
      World alone = world.restricted_to(chip);
      std::vector<WholeShape> found = search_sites(alone, question_.global_batch, 1);
      if (found.empty()) continue;
      all.push_back({chip, std::move(alone), std::move(found.front())});
    }
    std::ranges::stable_sort(all, {}, [](const Alone& alone) { return alone.shape.step_ns(); });
    std::optional<PricedPlan> best;
    std::string best_chip;
    int64_t best_ns = Ranking::kNever, cost = 0;
    for (const Alone& alone : all) {
      Finals finals(alone.world, question_.pricer, 1, is_few ? kActionsOfFew : 0);
      const int64_t before = book.num_actions;
      const Result<std::optional<Finalist>> judged = finals.judge(alone.shape, best_ns);
      if (!judged.ok() || !*judged || (*judged)->overflow_bytes > 0) continue;
      if ((*judged)->step_ns >= best_ns) continue;
      best_ns = (*judged)->step_ns;
      best = plan_of(**judged);
      best_chip = alone.chip;
      cost = book.num_actions - before;
    }
    if (!best) return {};
    // Of large ones only where it is cheap: a neighbour is played for less than judging it took.
    const int64_t effort = world.num_devices() <= kMedium ? kActionsOfFew : kActionsOfMany;
    if (is_few || cost <= effort) {
      Tried tried;
      SKARV_ASSIGN(best_ns, refine(question_.pricer, question_.limits, {effort}, tried, *best));
    }
    if (world.is_over_budget()) return {};
    chosen.best_single_ns = best_ns;
    chosen.best_single_chip = best_chip;
    return {};
  }

  const Question& question_;
  const int64_t first_action_;  // what it does itself is counted from here
  std::vector<WholeShape> found_;
  int64_t hopeless_ns_ = 0;  // what it is thought to take at the least; 0: that may be worth it
  std::vector<std::pair<int64_t, std::string>> others_;
  std::vector<PricedPlan> starts_;  // runners-up
  Tried tried_;                     // while plans were refined
};

}  // namespace

Result<Chosen> choose(const Question& question) { return Chooser(question).run(); }

}  // namespace skarv
