#include "wan/round/timers.h"

#include <cmath>

#include "base/text.h"

namespace skarv::wan {

Result<Timers> Timers::from(const ExchangeSettings& settings) {
  const double detection = settings.detection_seconds;
  const double budget = settings.round_budget_seconds;
  if (!std::isfinite(detection) || !std::isfinite(budget) || detection < 0.01 || budget > 1e6) {
    return config_error(cat("detection_seconds = ", detection,
                            " and round_budget_seconds = ", budget, " are out of range"))
        .with_hint("take a detection time of at least 0.01 s and a budget below 10^6 s");
  }
  if (budget < 3 * detection) {
    return config_error(cat("round_budget_seconds = ", budget,
                            " leaves no room for detection_seconds = ", detection))
        .with_hint(cat("set round_budget_seconds to ", 3 * detection, " or more"));
  }
  Timers timers;
  timers.beat = from_seconds(detection / 5);
  timers.silent = from_seconds(detection);
  timers.progress = from_seconds(detection);
  timers.grace = from_seconds(std::min(detection, budget / 10));
  timers.stall = from_seconds(2 * detection);
  timers.budget = from_seconds(budget);
  return timers;
}

std::string Timers::to_string() const {
  return cat("heartbeat every ", human_seconds(to_seconds(beat)), ", gone after ",
             human_seconds(to_seconds(silent)), ", transfer asked again after ",
             human_seconds(to_seconds(progress)), " without a byte, grace for late contributions ",
             human_seconds(to_seconds(grace)), ", attempt given up after ",
             human_seconds(to_seconds(stall)), " without progress, a round waits at most ",
             human_seconds(to_seconds(budget)));
}

}  // namespace skarv::wan
