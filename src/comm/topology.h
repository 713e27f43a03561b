// Which ranks a rank needs an edge to: a function of the schedule and the ownership, so that both
// ends of an edge come to the same answer.
#pragma once

#include <string>
#include <vector>

#include "spec/ownership.h"
#include "spec/schedule.h"

namespace skarv::comm {

// Ascending, without `rank`: partners of its sends and receives, members of its reduce groups that
// go over edges, and rank 0 (which clips); for rank 0 everyone. `makers`: by rank.
std::vector<int> peers_of(const Schedule& schedule, const Ownership& ownership,
                          const std::vector<std::string>& makers, int rank);

}  // namespace skarv::comm
