#include "plan/search/pricer.h"

#include <algorithm>

#include "base/text.h"

namespace skarv {
namespace {

// A better order of the same work takes less than this off a step (docs/schedules.md).
constexpr int64_t kMostGained = 25;  // one part in so many

bool is_split(const Island& island) {
  return std::ranges::any_of(island.pipelines, [](const Pipeline& pipeline) {
    return pipeline.schedule == "zero-bubble";
  });
}

}  // namespace

Result<IslandStep> Pricer::play(const Island& island,
                                const std::map<std::string, double>& owner_share,
                                int64_t effort) const {
  StepSettings settings;
  settings.keep_spans = false;
  settings.order.max_pieces = effort;
  settings.order.known = orders_;
  if (slabs_ == nullptr || island.devices().size() > kFewDevices) {
    return simulate_island(island, owner_share, world_, settings);
  }
  Plan owners;
  owners.owner_share = owner_share;
  return simulate_island(island, owner_share,
                         loads_of(ownership_of(island, owners, *slabs_), *slabs_), world_,
                         settings);
}

Result<IslandStep> Pricer::play(const Island& island,
                                const std::map<std::string, double>& owner_share) const {
  return play(island, owner_share, kRunEffort);
}

Result<std::optional<int64_t>> Pricer::faster_than(int64_t ns, const Island& island,
                                                   const std::map<std::string, double>& owner_share,
                                                   int64_t& num_actions) const {
  for (int64_t effort : {int64_t{0}, kRunEffort}) {
    const bool is_last = effort > 0 || !is_split(island);
    const Result<IslandStep> step = play(island, owner_share, effort);
    if (!step.ok()) {
      if (!is_unfit(step.status())) return step.status();
      return std::optional<int64_t>();
    }
    num_actions += step->trace.num_actions;
    const int64_t limit = is_last ? ns : ns + ns / kMostGained;
    if (step->trace.step_ns >= limit || step->fullest_overflow() >= 0) break;
    if (!is_last) continue;
    const auto keepers = keeper_memory(island.devices(), step->loads);
    if (!check_keepers(keepers, world_.hosts).ok()) break;
    return std::optional<int64_t>(step->trace.step_ns);
  }
  return std::optional<int64_t>();
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
