// A rank's place in one incarnation of its island: its edges and its reduce groups.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/status.h"
#include "comm/edges.h"
#include "comm/slab_exchange.h"
#include "handoff/messages.h"
#include "train/assignment.h"

namespace skarv::train {

struct Membership {
  std::shared_ptr<comm::Edges> edges;  // outlives the exchanges
  // By group; null where this rank is no member.
  std::vector<std::unique_ptr<comm::SlabExchange>> exchanges;
  int64_t incarnation = 0;
};

// Blocks until all ranks of the island are connected. `patience` bounds each of the steps.
Result<Membership> join_island(const Assignment& assignment, const handoff::Connect& connect,
                               comm::Lobby& lobby, const Device& device, Duration patience,
                               const std::atomic<bool>& cancelled);

}  // namespace skarv::train
