#include "plan/search/pricer.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/text.h"
#include "plan/schedule/zero_bubble.h"

namespace skarv {
namespace {

// A better order of the same work takes less than this off a step (docs/schedules.md); off a short
// one more, since filling and draining are more of it: 4.2 % were seen (two_types_16).
constexpr int64_t kMostGained = 25;       // one part in so many
constexpr int64_t kMostGainedShort = 14;  // the same
// Nor does it take much more off a step than off its neighbour's, where steps are long.
constexpr int64_t kGainsDiffer = 100;  // one part in so many
constexpr int64_t kShort = 10'000;     // actions
constexpr int64_t kQuickOrders = 13;   // tried without effort (schedule/zero_bubble.cc)

bool is_split(const Island& island) {
  return std::ranges::any_of(island.pipelines, [](const Pipeline& pipeline) {
    return pipeline.schedule == "zero-bubble";
  });
}

// No order is better for more effort then.
bool is_long(const Island& island) {
  return std::ranges::any_of(island.pipelines, [](const Pipeline& pipeline) {
    return 3 * kQuickOrders * std::ssize(pipeline.stages) * pipeline.num_microbatches() >
           kRunEffort;
  });
}

int64_t size_of(const Island& island) {
  int64_t num_actions = 0;
  for (const Pipeline& pipeline : island.pipelines) {
    num_actions += 7 * std::ssize(pipeline.stages) * pipeline.num_microbatches();
  }
  return num_actions;
}

// In actions. To fold and to bound what is not played; without its owners.
int64_t cost_of_bound(const Island& island) {
  return 400 + 10 * std::ssize(island.devices()) + size_of(island) / 40;
}
int64_t cost_of_work(const Island& some_pipelines) {
  return 60 + 3 * std::ssize(some_pipelines.devices()) + size_of(some_pipelines) / 40;
}
constexpr int64_t kPiecesOfAction = 40;

constexpr size_t kMostKnown = 4;

// All that owners follow from.
std::string owners_key(const Island& island, const std::map<std::string, double>& owner_share) {
  std::string key;
  const auto add = [&key](auto number) { append_bytes(key, number); };
  for (const Pipeline& pipeline : island.pipelines) {
    add(pipeline.stages.size());
    for (const Stage& stage : pipeline.stages) {
      add(stage.last);
      add(stage.devices.size());
      for (const std::string& device : stage.devices) key += device + " ";
    }
  }
  for (const auto& [device, share] : owner_share) {
    key += device + " ";
    add(share);
  }
  return key;
}

}  // namespace

const std::vector<GroupLoad>* KnownOwners::find(const std::string& key) {
  const auto known = std::ranges::find(known_, key, &decltype(known_)::value_type::first);
  if (known == known_.end()) return nullptr;
  known_.splice(known_.begin(), known_, known);
  return &known_.front().second;
}

const std::vector<GroupLoad>& KnownOwners::add(std::string key, std::vector<GroupLoad> loads) {
  if (known_.size() >= kMostKnown) known_.pop_back();
  known_.emplace_front(std::move(key), std::move(loads));
  return known_.front().second;
}

std::vector<GroupLoad> Pricer::loads(const Island& island,
                                     const std::map<std::string, double>& owner_share) const {
  if (slabs_ == nullptr) return loads_of(island, world_.workload, owner_share);
  std::string key = owners_key(island, owner_share);
  if (const auto* known = book_.owners.find(key)) return *known;
  Plan owners;
  owners.owner_share = owner_share;
  return book_.owners.add(std::move(key), loads_of(ownership_of(island, owners, *slabs_), *slabs_));
}

OrderOptions Pricer::order_options(int64_t effort) const {
  OrderOptions options;
  options.max_pieces = effort;
  options.known = &book_.orders;
  return options;
}

void Pricer::count(const Island& island, int64_t num_actions, int64_t pieces_before) const {
  book_.largest_play = std::max(book_.largest_play, num_actions);
  book_.num_actions += cost_of_bound(island) + num_actions +
                       (book_.orders.num_pieces() - pieces_before) / kPiecesOfAction;
}

Result<IslandStep> Pricer::played(const Island& island,
                                  const std::map<std::string, double>& owner_share,
                                  const StepSettings& settings) const {
  const int64_t pieces_before = book_.orders.num_pieces();
  Result<IslandStep> step =
      simulate_island(island, owner_share, loads(island, owner_share), world_, settings);
  count(island, step.ok() ? step->trace.num_actions : 0, pieces_before);
  return step;
}

Result<IslandStep> Pricer::play(const Island& island,
                                const std::map<std::string, double>& owner_share) const {
  StepSettings settings;
  settings.keep_spans = false;
  settings.order = order_options(kRunEffort);
  return played(island, owner_share, settings);
}

Result<int64_t> Pricer::least(const Island& island,
                              const std::map<std::string, double>& owner_share) const {
  book_.num_actions += cost_of_bound(island);
  return least_step(island, owner_share, loads(island, owner_share), world_);
}

Result<std::vector<PipelineUse>> Pricer::use(
    const Island& island, const std::map<std::string, double>& owner_share) const {
  StepSettings settings;
  settings.order = order_options(kRunEffort);
  SKARV_ASSIGN(const IslandStep step, played(island, owner_share, settings));
  return use_of(island, step);
}

Result<int64_t> Pricer::probe(const Island& island,
                              const std::map<std::string, double>& owner_share) const {
  StepSettings settings;
  settings.keep_spans = false;
  settings.order = order_options(kProbeEffort);
  SKARV_ASSIGN(const IslandStep step, played(island, owner_share, settings));
  return step.trace.step_ns;
}

Result<std::optional<int64_t>> Pricer::faster_than(int64_t ns, const Island& island,
                                                   const std::map<std::string, double>& owner_share,
                                                   const Neighbour& neighbour) const {
  std::optional<int64_t> nothing;
  if (!neighbour.new_pipelines.pipelines.empty()) {
    book_.num_actions += cost_of_work(neighbour.new_pipelines);
    const Result<int64_t> least = least_work(neighbour.new_pipelines, world_);
    if (least.ok() && *least >= ns) return nothing;
    if (!least.ok() && !is_unfit(least.status())) return least.status();
  }
  const std::vector<GroupLoad> owned = loads(island, owner_share);
  if (!check_keepers(keeper_memory(island.devices(), owned), world_.hosts).ok()) return nothing;
  const bool is_probed = neighbour.probed_ns > 0;
  const bool is_short = size_of(island) <= kShort;
  int64_t quick_ns = ns + ns / (is_short ? kMostGainedShort : kMostGained);
  if (is_probed && !is_short) {
    quick_ns =
        std::min(quick_ns, std::max(ns, neighbour.probed_ns) + neighbour.probed_ns / kGainsDiffer);
  }
  for (int64_t effort : {is_probed ? kProbeEffort : int64_t{0}, kRunEffort}) {
    if (effort == 0 && is_long(island)) continue;
    const bool is_last = effort > 0 || !is_split(island);
    const int64_t pieces_before = book_.orders.num_pieces();
    const Result<IslandTrial> trial =
        try_island(island, owner_share, owned, world_, is_last ? ns : quick_ns,
                   order_options(effort), neighbour.ends);
    if (!trial.ok()) {
      if (is_unfit(trial.status())) return nothing;
      return trial.status();
    }
    count(island, trial->num_actions, pieces_before);
    if (trial->end != IslandTrial::End::kPlayed) return nothing;
    if (is_last) return std::optional<int64_t>(trial->step_ns);
  }
  return nothing;
}

bool is_unfit(const Status& status) {
  return status.code() == Code::kResourceExhausted || status.code() == Code::kNotFound ||
         status.code() == Code::kFailedPrecondition;
}

Status check_keepers(const std::map<std::string, int64_t>& bytes_by_host, const HostIndex& hosts) {
  for (const auto& [name, bytes] : bytes_by_host) {
    const auto host = hosts.find(name);
    if (host == hosts.end() || host->second->memory_bytes == 0) continue;
    if (bytes <= host->second->memory_bytes) continue;
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("the keeper on host ", name, " needs ",
                      human_bytes(static_cast<double>(bytes)), " of ",
                      human_bytes(static_cast<double>(host->second->memory_bytes)), " host memory"))
        .at(name)
        .with_hint("add hosts to the site: its keepers share the model's slabs");
  }
  return {};
}

}  // namespace skarv
