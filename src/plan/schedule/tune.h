// Search over the rules of the greedy order: a few numbers stand for all the work, so that long
// pipelines change as a whole where moving single pieces (improve.h) would take for ever.
#pragma once

#include "plan/schedule/goal.h"
#include "plan/schedule/greedy.h"

namespace skarv {

// A rule, the order that it makes, and what comes of it.
struct Ruled {
  GreedyRule rule;
  WorkOrder order;
  Played played;
};
// What comes of it is not valid if it would take `give_up_ns` or longer (0: never).
Ruled follow(GreedyRule rule, Player& player, int64_t give_up_ns = 0);

// Climbs from `start`: other depths for some stages, another gap, another preference; keeps what is
// no worse. `max_pieces` as in improve.h. Deterministic.
Ruled tune(Ruled start, Player& player, Objective objective, int64_t max_pieces, uint64_t seed);

}  // namespace skarv
