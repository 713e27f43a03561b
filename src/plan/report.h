// A plan with its predicted figures: what a person decides by, and what a run is compared with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "plan/memory/memory.h"
#include "spec/plan.h"

namespace skarv {

struct DeviceReport {
  std::string device, island, chip;
  // Figures of its chip that nobody verified, where its times are the catalog's estimate.
  std::vector<std::string> unverified;
  double pace = 0;      // > 0: emulated
  std::string layers;   // "0-5", "0-2 6-8": all stages of the device
  int64_t samples = 0;  // of its pipeline, a step
  DeviceMemory memory;
  double busy_seconds = 0;             // computing, of one step
  double utilisation = 0;              // of the island's step
  double alone_tokens_per_second = 0;  // the whole model and the whole batch on it alone
  int64_t count = 1;                   // devices that behave like it, itself among them
};

struct IslandReport {
  std::string name;
  int64_t samples = 0;
  double step_seconds = 0;
};

// Another plan that was priced, of another shape.
struct AlternativeReport {
  std::string shape;
  double step_seconds = 0;
};

struct PlanReport {
  Plan plan;
  bool estimated = false;        // from the catalog, nothing was measured
  double step_seconds = 0;       // of the slowest island
  double tokens_per_second = 0;  // of steps; rounds between islands keep `kept_by_rounds` of it
  double kept_by_rounds = 1;     // below 1 where training waits for rounds (outer/outer_round.h)
  double sum_of_parts = 0;       // tokens/s of all devices alone, idle ones too
  double efficiency = 0;         // tokens_per_second / sum_of_parts
  // The same if a step took no longer than the busiest device of this plan computes: what its whole
  // layers and samples allow if nobody ever waits. No bound for other plans.
  double integer_bound = 0;
  std::vector<IslandReport> islands;
  std::vector<DeviceReport> devices;
  std::map<std::string, int64_t> keeper_bytes;  // host memory by host
  std::map<std::string, int64_t> host_bytes;    // all of it, where the cluster file gives it
  std::string limited_by;                       // where the step of the slowest island goes
  std::string best_single_chip;              // of plans on one type of chip alone; empty: none fits
  double best_single_tokens_per_second = 0;  // of steps, as if it had no rounds
  std::vector<AlternativeReport> alternatives;  // the next best, at most five
  std::vector<std::string> advice;              // on the run's settings: never acted on

  // Seconds of a step, rounds included: what the planner makes small.
  double whole_step_seconds() const { return step_seconds / kept_by_rounds; }
};

Json to_json(const PlanReport& report);
std::string to_table(const PlanReport& report);

}  // namespace skarv
