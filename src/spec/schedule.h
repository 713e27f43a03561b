// The schedule: for every device of an island the list of actions of one optimizer step, as data.
// Builders write it, the simulator and the workers execute the very same lists.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "spec/ownership.h"
#include "spec/plan.h"

namespace skarv {

enum class ActionKind {
  kReceiveActivation,  // input of `stage` for `microbatch`, from `peer`
  kForward,            // of `stage` for `microbatch`; the last stage also computes its loss
  kSendActivation,     // output of `stage` to `peer`
  kReceiveGradient,    // of the output of `stage`, from `peer`
  kBackward,           // both halves at once
  kBackwardInput,      // zero bubble: gradient for the input only ...
  kBackwardWeight,     // ... and the weights later
  kSendGradient,       // of the input of `stage`, to `peer`
  kReduce,             // gradients of reduce group `group` to the slabs' owners
  kClip,               // global gradient norm over the island, clip factor, skip decision
  kUpdate,             // AdamW on the owned slabs of `group`
  kGather,             // new weights of `group` from the owners
};
const char* name_of(ActionKind kind);
Result<ActionKind> action_kind_from(std::string_view name);

struct Action {
  ActionKind kind = ActionKind::kForward;
  int pipeline = -1;  // of the island; -1 where it has no meaning, as below
  int stage = -1;     // of the pipeline
  int microbatch = -1;
  int group = -1;     // index into Ownership::groups
  int peer = -1;      // rank in the island
  int64_t bytes = 0;  // moved by it, as this rank sees them (payload, no framing)

  bool operator==(const Action&) const = default;
};
std::string to_string(const Action& action);  // "forward pipeline 0 stage 1 microbatch 3"

struct Schedule {
  std::vector<std::string> devices;          // island.devices(): position = rank
  std::vector<std::vector<Action>> actions;  // by rank, in order of execution

  bool operator==(const Schedule&) const = default;
};

// How lists are executed. A rank runs its actions one after the other. A send hands its message
// over and does not wait for the receiver; a receive waits for the message with its pipeline,
// stage, microbatch and sender, so messages are matched by what they are, not by their order. Who
// sends to whom: spec/stage_map.h. Reduce and gather wait for all members of the group, clip for
// all ranks. SendActivation of stage s meets ReceiveActivation of stage s + 1, SendGradient of
// stage s meets ReceiveGradient of s - 1.
//
// A schedule is valid for a plan's island if every stage sees every microbatch forward and backward
// exactly once, each send has its receive with the same bytes, no device waits for ever, nothing is
// used before it exists, and every rank does reduce (after its last backward), clip (after its last
// reduce), update and gather for each of its groups. A deadlock is named by the two actions that
// wait for each other.
Status check_schedule(const Schedule& schedule, const Island& island, const Ownership& ownership);

Json to_json(const Schedule& schedule);
Result<Schedule> schedule_from_json(const Json& json, const std::string& origin);
Digest digest_of(const Schedule& schedule);

}  // namespace skarv
