#include "plan/search/limits.h"

#include <ctime>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

double cpu_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

}  // namespace

void PlannerLimits::start_budget() {
  ends_at = budget_seconds > 0 ? cpu_seconds() + budget_seconds : 0;
}

bool PlannerLimits::is_over_budget() const { return ends_at > 0 && cpu_seconds() > ends_at; }

PlannerLimits trainer_limits() {
  PlannerLimits limits;
  limits.max_tensor_parallel = 1;
  limits.island_may_span_hosts = false;
  limits.island_may_span_sites = false;
  return limits;
}

Status check_limits(const Plan& plan, const PlannerLimits& limits) {
  for (size_t i = 0; i < plan.islands.size(); ++i) {
    const Island& island = plan.islands[i];
    std::set<std::string> hosts;
    for (size_t p = 0; p < island.pipelines.size(); ++p) {
      const std::vector<Stage>& stages = island.pipelines[p].stages;
      for (size_t s = 0; s < stages.size(); ++s) {
        if (stages[s].tensor_parallel > limits.max_tensor_parallel) {
          return config_error(cat("tensor_parallel ", stages[s].tensor_parallel, " is more than ",
                                  limits.max_tensor_parallel))
              .at(cat("islands[", i, "].pipelines[", p, "].stages[", s, "]"))
              .with_hint("make a plan that the trainer can run: skarv plan --trainable");
        }
        for (const std::string& device : stages[s].devices) {
          hosts.insert(host_of(device));
        }
      }
    }
    if (limits.island_may_span_hosts || hosts.size() <= 1) continue;
    return config_error(cat("the island ", island.name, " spans ", hosts.size(), " hosts"))
        .at(cat("islands[", i, "]"))
        .with_hint("make a plan with one host an island: skarv plan --trainable");
  }
  return {};
}

}  // namespace skarv
