#include "plan/search/pricer.h"

#include <algorithm>

#include "base/text.h"
#include "plan/schedule/zero_bubble.h"

namespace skarv {
namespace {

// A better order of the same work takes less than this off a step (docs/schedules.md).
constexpr int64_t kMostGained = 25;   // one part in so many
constexpr int64_t kQuickOrders = 13;  // tried without effort (schedule/zero_bubble.cc)

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

// In actions: one that is not played still has to be folded and bounded.
int64_t cost_of(const Island& island, bool is_played) {
  int64_t num_actions = 0;
  for (const Pipeline& pipeline : island.pipelines) {
    num_actions += 7 * std::ssize(pipeline.stages) * pipeline.num_microbatches();
  }
  return 100 + 5 * std::ssize(island.devices()) + (is_played ? num_actions : num_actions / 10);
}

}  // namespace

std::vector<GroupLoad> Pricer::loads(const Island& island,
                                     const std::map<std::string, double>& owner_share) const {
  if (slabs_ == nullptr) return loads_of(island, world_.workload, owner_share);
  Plan owners;
  owners.owner_share = owner_share;
  return loads_of(ownership_of(island, owners, *slabs_), *slabs_);
}

OrderOptions Pricer::order_options(int64_t effort) const {
  OrderOptions options;
  options.max_pieces = effort;
  options.known = &book_.orders;
  return options;
}

Result<IslandStep> Pricer::play(const Island& island,
                                const std::map<std::string, double>& owner_share) const {
  StepSettings settings;
  settings.keep_spans = false;
  settings.order = order_options(kRunEffort);
  book_.num_actions += cost_of(island, true);
  return simulate_island(island, owner_share, loads(island, owner_share), world_, settings);
}

Result<int64_t> Pricer::least(const Island& island,
                              const std::map<std::string, double>& owner_share) const {
  book_.num_actions += cost_of(island, false);
  return least_step(island, owner_share, loads(island, owner_share), world_);
}

Result<std::optional<int64_t>> Pricer::faster_than(
    int64_t ns, const Island& island, const std::map<std::string, double>& owner_share) const {
  const std::vector<GroupLoad> owned = loads(island, owner_share);
  std::optional<int64_t> nothing;
  if (!check_keepers(keeper_memory(island.devices(), owned), world_.hosts).ok()) return nothing;
  for (int64_t effort : {int64_t{0}, kRunEffort}) {
    if (effort == 0 && is_long(island)) continue;
    const bool is_last = effort > 0 || !is_split(island);
    const Result<IslandTrial> trial =
        try_island(island, owner_share, owned, world_, is_last ? ns : ns + ns / kMostGained,
                   order_options(effort));
    if (!trial.ok()) {
      if (is_unfit(trial.status())) return nothing;
      return trial.status();
    }
    book_.num_actions += cost_of(island, trial->end == IslandTrial::End::kPlayed);
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
