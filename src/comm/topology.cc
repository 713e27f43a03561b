#include "comm/topology.h"

#include <algorithm>
#include <set>

#include "comm/slab_exchange.h"

namespace skarv::comm {

std::vector<int> peers_of(const Schedule& schedule, const Ownership& ownership,
                          const std::vector<std::string>& makers, int rank) {
  std::set<int> peers;
  for (const Action& action : schedule.actions[rank]) {
    if (action.peer >= 0) peers.insert(action.peer);
  }
  for (const ReduceGroup& group : ownership.groups) {
    const bool member =
        std::find(group.members.begin(), group.members.end(), rank) != group.members.end();
    if (member && !one_maker_and_site(group, ownership.devices, makers)) {
      peers.insert(group.members.begin(), group.members.end());
    }
  }
  if (rank != 0) {
    peers.insert(0);
  } else {
    for (int other = 0; other < static_cast<int>(makers.size()); ++other) peers.insert(other);
  }
  peers.erase(rank);
  return {peers.begin(), peers.end()};
}

}  // namespace skarv::comm
