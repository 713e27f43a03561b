// One optimizer step of one island, the whole way: fold what is alike, build the action lists of
// the representatives, price them, play them. What the planner compares finalists by and what
// `skarv simulate` shows. Pure, any thread.
#pragma once

#include "plan/memory/memory.h"
#include "plan/simulate/simulate.h"
#include "plan/simulate/step_floor.h"

namespace skarv {

// What does not change while plans are compared. All outlive it.
struct StepWorld {
  const Workload& workload;
  const Cluster& cluster;
  const DeviceIndex& devices;
  const HostIndex& hosts;
  const Profile& links;  // measured links, and what devices hold without a model
  Precision precision = Precision::kFp32;
};

struct IslandStep {
  Fold fold;
  Schedule schedule;  // of the representatives
  std::vector<GroupLoad> loads;
  std::vector<GroupTimes> groups;
  StepTrace trace;                   // by rank of the fold
  std::vector<DeviceMemory> memory;  // the same; the fullest of those it stands for
  // Bytes of activations while each action runs, by rank; where spans are kept.
  std::vector<std::vector<int64_t>> activations;

  double step_seconds() const { return static_cast<double>(trace.step_ns) * 1e-9; }
  // The rank of the fold that exceeds its memory by most, or -1.
  int fullest_overflow() const;
};

// Owners hold shares of every layer. Errors: a device that the cluster lacks, a gap in the times, a
// missing link, an unknown schedule, more actions than memory should hold (kResourceExhausted).
// REQUIRES: check_plan passed. With jitter nothing is folded: every device has its own noise.
Result<IslandStep> simulate_island(const Island& island,
                                   const std::map<std::string, double>& owner_share,
                                   const StepWorld& world, const StepSettings& settings = {});
// Whether an island would be faster than `give_up_ns`, for those who compare thousands: most are
// dismissed by what they take at the least (step_floor.h), others when their schedule does not fit
// in memory, or while they are played.
struct IslandTrial {
  enum class End { kPlayed, kDismissed, kDoesNotFit, kGivenUp };
  End end = End::kPlayed;
  int64_t step_ns = 0;      // kPlayed: as simulate_island's, below give_up_ns
  int64_t num_actions = 0;  // of the schedule, if one was made: what the trial cost
};
// Owners hold what `loads` says. `ends`: of the devices of pipelines that were played already, in
// an island that differs in the others. REQUIRES: check_plan passed. Errors as simulate_island's.
Result<IslandTrial> try_island(const Island& island,
                               const std::map<std::string, double>& owner_share,
                               std::vector<GroupLoad> loads, const StepWorld& world,
                               int64_t give_up_ns, const OrderOptions& order = {},
                               const WorkEnds& ends = {});
// What the step takes at the least (step_floor.h), memory left aside.
Result<int64_t> least_step(const Island& island, const std::map<std::string, double>& owner_share,
                           std::vector<GroupLoad> loads, const StepWorld& world);
// The same of what these pipelines compute and send alone: nothing is asked of owners, so it is
// quick, and it holds for every island that has them among others.
Result<int64_t> least_work(const Island& some_pipelines, const StepWorld& world);

// Owners hold what `loads` says: slabs of a real run.
Result<IslandStep> simulate_island(const Island& island,
                                   const std::map<std::string, double>& owner_share,
                                   std::vector<GroupLoad> loads, const StepWorld& world,
                                   const StepSettings& settings = {});

}  // namespace skarv
