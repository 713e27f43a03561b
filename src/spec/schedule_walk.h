// Walks a schedule without time. REQUIRES: every rank has exactly the actions of its seats
// (check_schedule has looked).
#pragma once

#include "spec/schedule.h"
#include "spec/stage_map.h"

namespace skarv {

// Errors: an action before what it needs, a receive of other bytes than were sent, a deadlock named
// by two actions that wait for each other.
Status walk_schedule(const Schedule& schedule, const StageMap& map, const Ownership& ownership);

}  // namespace skarv
