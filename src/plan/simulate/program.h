// Action lists made ready to be played: durations, messages and meetings looked up once, so that
// playing costs a few dozen nanoseconds an action.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/cost/island_cost.h"
#include "plan/schedule/zero_bubble.h"
#include "plan/simulate/routes.h"
#include "spec/schedule.h"

namespace skarv {

// Costs of getting going that no throughput shows.
struct StartUp {
  int64_t step_ns = 0;     // before anybody's first action of a step
  int64_t action_ns = 0;   // launching a computing action
  int64_t message_ns = 0;  // handing over a message, beside the link's latency
};

struct StepSettings {
  StartUp start_up;
  uint64_t seed = 0;
  double jitter = 0;  // standard deviation of a computing action, as a fraction of its time
  std::map<std::string, double> slowdown;  // stragglers: device -> factor of its computing times
  bool keep_spans = true;                  // every action's begin and end
  // Above 0: not played to its end (kDeadlineExceeded) as soon as the step cannot be shorter.
  int64_t give_up_ns = 0;
  OrderOptions order;  // where the schedule is built: the effort it is worth
  bool whole = false;  // nothing is folded
  // By island: played instead of a schedule that is built, after check_schedule; nothing is folded.
  std::map<std::string, Schedule> schedules;
};
// Error: what makes no sense, named.
Status check_settings(const StepSettings& settings);

struct Op {
  enum class Kind : uint8_t { kCompute, kSend, kReceive, kMeet };
  Kind kind;
  int32_t target;  // message or meeting
  int64_t value;   // ns of a computation, bytes of a message
};

// All messages of one kind from one rank to another over one border.
struct Edge {
  int from, to;
  const Route* route;
};

struct MeetingPlan {
  int num_members = 0;
  int64_t duration_ns = 0;
};

struct Program {
  std::vector<std::vector<Op>> ops;  // by rank, one for each action
  std::vector<Edge> edges;
  std::vector<int32_t> edge_of_message;
  std::vector<MeetingPlan> meetings;
};

// REQUIRES: the schedule is of the folded island of `cost`, its ranks and microbatches are in
// range. Error: a missing link.
Result<Program> compile(const Schedule& schedule, const IslandCost& cost, Routes& routes,
                        const StepSettings& settings);

}  // namespace skarv
