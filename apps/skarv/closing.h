// The end of a run, told: what was trained, how fast each part was, what the mixture and the WAN
// cost, and how close the prediction came.
//
// Definitions. Mixed efficiency: tokens/s of the run over the sum of the tokens/s that each device
// would reach alone with the whole model (from the profile). WAN efficiency: the part of the
// training time in which the islands did not stand still for the outer protocol. Step time: median
// of the latest steps, of the slowest island. Validation loss: mean over the held-out samples, of
// the outer weights.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "inputs.h"
#include "island_progress.h"
#include "plan/report.h"

namespace skarv {

struct Closing {
  Run run;
  DataReport data;
  PlanReport predicted;
  std::vector<IslandProgress> islands;
  int64_t relayed_bytes = -1;  // since this start of the run; -1: no emulated WAN
  double validation_loss = 0;  // nats
  double wall_seconds = 0;
  std::string folder, exported;
  std::string trace;     // file of --trace, or empty
  bool resumed = false;  // not the run's first start
};

double tokens_per_second(const Closing& closing);
double wan_efficiency(const IslandProgress& island);
Json to_json(const Closing& closing);
std::string to_text(const Closing& closing);

}  // namespace skarv
