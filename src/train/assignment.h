// What a rank has to do, checked and with everything derived that depends on plan and run only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "handoff/messages.h"
#include "spec/ownership.h"
#include "spec/plan.h"
#include "spec/profile.h"
#include "spec/run.h"
#include "spec/schedule.h"
#include "spec/slab.h"
#include "spec/stage_map.h"

namespace skarv::train {

// Immutable; outlives everything made from it.
struct Assignment {
  // Errors: kInvalidArgument for specs that do not fit together; tensor parallelism, which this
  // worker does not do, is one.
  static Result<std::shared_ptr<const Assignment>> create(const handoff::Assign& assign);
  static Result<std::shared_ptr<const Assignment>> create(Run run, Plan plan, Profile profile,
                                                          Schedule schedule,
                                                          const std::string& island, int rank);

  const std::string& device() const { return ownership.devices[rank]; }
  const std::vector<Action>& actions() const { return schedule.actions[rank]; }
  int64_t tokens_per_step() const { return island.samples() * run.model.context; }
  // Of token losses: gradients of the mean over the island; in gradient mode of the sum, which the
  // islands' keepers divide by all tokens (protocol.md, rule 13).
  double gradient_scale() const {
    return run.exchange.mode == ExchangeMode::kGradient
               ? 1.0
               : 1.0 / static_cast<double>(tokens_per_step());
  }
  bool is_local(int pipeline, int stage) const;  // the stage exists and is this rank's

  Run run;
  Plan plan;
  Profile profile;
  Schedule schedule;
  Island island;
  int rank = 0;
  SlabTable table;
  Ownership ownership;
  StageMap stages;

  // Of the device; set by create(assign).
  std::string chip, maker;
  double pace = 0;
  std::string trace;
};

}  // namespace skarv::train
