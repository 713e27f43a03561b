// Which island merges which slab: weighted rendezvous hashing (Thaler and Ravishankar 1998; weights
// as in Schindelhauer and Schomaker 2005), so that each gets slabs in proportion to its uplink and
// a change of the set moves only the slabs of the island that left or came.
#pragma once

#include <string>
#include <vector>

#include "wan/round/view.h"

namespace skarv::wan {

// Name of the merger of `slab` among `mergers` (names of the view; unknown ones are ignored). Empty
// when none is left. Equal on every machine: integers and one exact division, no libm.
std::string merger_of(int slab, const View& view, const std::vector<std::string>& mergers);

}  // namespace skarv::wan
