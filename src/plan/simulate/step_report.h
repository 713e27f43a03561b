// A simulated plan for people and for programs, and as a time line for Perfetto.
#pragma once

#include <string>

#include "base/json.h"
#include "plan/simulate/plan_step.h"

namespace skarv {

// For each island: a row a class of equal devices with where its time went, in per cent of the
// step, and its memory; wires by use; then rounds, failures, advice.
std::string to_table(const PlanStep& step, const Plan& plan);
Json to_json(const PlanStep& step, const Plan& plan);

// Chrome's trace format: a process for each class of devices with its actions, the messages that it
// sends while they are on their way, and a counter of its activations' bytes. REQUIRES: spans were
// kept.
Json to_trace(const PlanStep& step);

}  // namespace skarv
