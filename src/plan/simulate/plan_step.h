// Any plan on any cluster: every island's step, the rounds between islands, memory of devices and
// hosts, and what failures leave of a day. What `skarv simulate` shows. Pure, any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/outer/goodput.h"
#include "plan/outer/outer_round.h"
#include "plan/simulate/island_step.h"

namespace skarv {

struct PlanSettings {
  StepSettings step;
  int num_streams = 2;  // TCP streams of a bulk lane between sites
  CongestionControl control = CongestionControl::kCubic;
  FailureRates rates;
};

struct HostMemory {
  int64_t keeper = 0;  // bytes that its keeper needs
  int64_t limit = 0;   // 0: the cluster file does not say
};

struct PlanStep {
  std::vector<IslandStep> islands;  // as in the plan
  std::vector<std::string> names;
  std::vector<int64_t> samples;
  OuterRound round;
  std::vector<std::string> advice;
  Goodput goodput;
  std::map<std::string, HostMemory> hosts;  // "site/host"
  bool estimated = false;                   // some times come from the catalog
  int64_t tokens_per_step = 0;

  double step_seconds() const;       // of the slowest island
  double tokens_per_second() const;  // rounds between sites included, failures not
  // The first thing that does not fit: "north/a/0 needs 12 GB of 8 GB"; empty: all does.
  std::string overflow() const;
};

// Error: check_plan's (the exact place in the plan), a profile of another model, a gap in it, a
// missing link, settings that make no sense.
Result<PlanStep> simulate_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                               const Profile& profile, const PlanSettings& settings = {});

}  // namespace skarv
