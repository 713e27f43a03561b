#include "train/membership.h"

#include <algorithm>

#include "base/text.h"
#include "comm/topology.h"

namespace skarv::train {

Result<Membership> join_island(const Assignment& assignment, const handoff::Connect& connect,
                               comm::Lobby& lobby, const Device& device, Duration patience,
                               const std::atomic<bool>& cancelled) {
  const Ownership& ownership = assignment.ownership;
  const size_t num_ranks = ownership.devices.size();
  if (connect.addresses.size() != num_ranks || connect.makers.size() != num_ranks) {
    return config_error(cat("the order to connect names ", connect.addresses.size(),
                            " addresses for ", num_ranks, " ranks"));
  }
  const comm::Roster roster{assignment.rank, connect.incarnation, ownership.devices,
                            connect.addresses};
  Membership membership{.incarnation = connect.incarnation};
  SKARV_ASSIGN(auto edges, comm::Edges::connect(lobby, roster,
                                                comm::peers_of(assignment.schedule, ownership,
                                                               connect.makers, assignment.rank),
                                                device, Clock::real().now() + patience, cancelled));
  membership.edges = std::move(edges);
  // Ascending on every rank, so that no two wait for each other in different groups.
  for (size_t index = 0; index < ownership.groups.size(); ++index) {
    const ReduceGroup& group = ownership.groups[index];
    auto& exchange = membership.exchanges.emplace_back();
    if (!std::binary_search(group.members.begin(), group.members.end(), assignment.rank)) continue;
    const comm::GroupContext context{.index = static_cast<int>(index),
                                     .group = &group,
                                     .ownership = &ownership,
                                     .table = &assignment.table,
                                     .device = device,
                                     .incarnation = connect.incarnation,
                                     .store = connect.store,
                                     .patience = patience};
    SKARV_ASSIGN(exchange, comm::make_slab_exchange(context, *membership.edges, connect.makers));
  }
  return membership;
}

}  // namespace skarv::train
