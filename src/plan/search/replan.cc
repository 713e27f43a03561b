#include "plan/search/replan.h"

#include <optional>

#include "base/text.h"
#include "plan/cost/device_index.h"
#include "plan/search/mend.h"
#include "plan/search/moves.h"

namespace skarv {
namespace {

// Why the running plan cannot go on; empty: it can.
std::string obstacle(const Result<PlanReport>& priced, const Cluster& cluster) {
  if (!priced.ok()) return priced.status().message();
  for (const DeviceReport& device : priced->devices) {
    if (!device.memory.fits()) return cat("it does not fit in the memory of ", device.device);
  }
  const Status keepers = check_keeper_memory(*priced, cluster);
  return keepers.ok() ? "" : keepers.message();
}

// A plan that needs no new search, and what it takes to begin.
struct Old {
  PlanReport report;
  Moves moves;
};

// What is left of the running plan, if that can run.
Result<std::optional<Old>> mended_plan(const Plan& running, const Run& run, const Cluster& cluster,
                                       const Profile& profile) {
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const std::optional<Plan> plan = mended(running, devices);
  if (!plan) return std::optional<Old>();
  Result<PlanReport> priced = price_plan(*plan, run, cluster, profile);
  if (!obstacle(priced, cluster).empty()) return std::optional<Old>();
  Old old{std::move(priced).value(), moves_between(running, *plan, run, cluster)};
  return std::optional(std::move(old));
}

// The same plan where as much as can be stays where it is.
Status stay(const Plan& running, const Run& run, const Cluster& cluster, const Profile& profile,
            PlanReport& fresh) {
  Plan renamed = fresh.plan;
  rename_to_stay(running, cluster, profile, renamed);
  if (digest_of(renamed) == digest_of(fresh.plan)) return {};
  SKARV_ASSIGN(PlanReport report, price_plan(renamed, run, cluster, profile));
  report.alternatives = std::move(fresh.alternatives);
  fresh = std::move(report);
  return {};
}

}  // namespace

Result<Replanned> replan(const Plan& running, const Run& run, const Cluster& cluster,
                         const Profile& profile, const PlannerLimits& limits) {
  using enum Replanned::Choice;
  if (running.model != digest_of(run.model)) {
    return config_error("the running plan was made for another model")
        .at("model")
        .with_hint("give the plan of this run");
  }
  PlannerLimits alone = limits;
  alone.compares_types = false;  // here it is the running plan that the new one is compared with
  SKARV_ASSIGN(PlanReport fresh, make_plan(run, cluster, profile, alone));
  SKARV_TRY(stay(running, run, cluster, profile, fresh));
  Replanned result;
  Result<PlanReport> priced = price_plan(running, run, cluster, profile);
  result.reason = obstacle(priced, cluster);
  std::optional<Old> old;
  if (result.reason.empty()) {
    old = Old{std::move(priced).value(), {}};
  } else {
    SKARV_ASSIGN(old, mended_plan(running, run, cluster, profile));
  }
  const Moves moves = moves_between(running, fresh.plan, run, cluster);
  bool is_new = !old;
  if (old) {
    result.gain_seconds = old->report.whole_step_seconds() - fresh.whole_step_seconds();
    const double longer = moves.seconds - old->moves.seconds;
    if (result.gain_seconds > 0) result.pays_after_steps = longer / result.gain_seconds;
    is_new = result.gain_seconds > 0 && result.pays_after_steps < static_cast<double>(run.steps);
  }
  result.choice = is_new ? kNew : result.reason.empty() ? kKept : kMended;
  const Moves& chosen = is_new ? moves : old->moves;
  result.moved_bytes = chosen.bytes;
  result.move_seconds = chosen.seconds;
  result.report = is_new ? std::move(fresh) : std::move(old->report);
  return result;
}

std::string name_of(Replanned::Choice choice) {
  using enum Replanned::Choice;
  return choice == kKept ? "kept" : choice == kMended ? "mended" : "new";
}

std::string to_text(const Replanned& replanned) {
  using enum Replanned::Choice;
  const std::string moved = cat(human_bytes(static_cast<double>(replanned.moved_bytes)),
                                " to move, ", human_seconds(replanned.move_seconds));
  const double gain = replanned.gain_seconds;
  const std::string after = cat("after ", fixed(replanned.pays_after_steps, 0), " steps\n");
  switch (replanned.choice) {
    case kKept:
      if (gain <= 0) return "the running plan stays: no other is faster\n";
      return cat("the running plan stays: another is faster by ", human_seconds(gain),
                 " a step, which wins back its moves ", after);
    case kMended:
      return cat("the running plan cannot go on: ", replanned.reason,
                 "; it goes on without what is lost: ", moved,
                 gain <= 0 ? std::string("\n")
                           : cat("; a new plan is faster by ", human_seconds(gain),
                                 " a step, which wins back its moves ", after));
    case kNew:
      break;
  }
  if (!replanned.reason.empty()) {
    return cat("the running plan cannot go on: ", replanned.reason, "; ", moved, "\n");
  }
  return cat("change to this plan: ", human_seconds(gain), " a step gained, ", moved, ", won back ",
             after);
}

}  // namespace skarv
