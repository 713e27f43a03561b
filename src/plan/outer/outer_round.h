// A round of the outer synchronisation (docs/protocol.md), priced: bytes by codec, two transfers
// over shared uplinks and links at what TCP gives, five one-way trips, work of the keepers; and
// what of it training sees, given fragments, overlap, quorum and grace.
//
// Mergers own shares of the slabs in proportion to their uplinks, so in the first transfer every
// contributor sends to every other site what that one merges, in the second every merger sends its
// share to all others. Flows share uplinks and links fairly (plan/simulate/flow_pool.h).
// Not modelled: attempts that fail, fetches again, a checkpoint written meanwhile.
#pragma once

#include <string>
#include <vector>

#include "plan/outer/tcp.h"
#include "spec/cluster.h"
#include "spec/run.h"

namespace skarv {

struct OuterIsland {
  std::string name, site;
  int64_t step_ns = 0;
  int64_t samples = 0;  // of a step
  int num_keepers = 1;  // hosts whose owners hold slabs
};

struct OuterSetting {
  const ExchangeSettings& exchange;
  const Cluster& cluster;
  int64_t num_parameters = 0;
  int num_streams = 2;  // of a connection's bulk lane: net/transport.h
  CongestionControl control = CongestionControl::kCubic;
};

struct TransferFigures {
  std::string from, to;  // islands
  int64_t bytes = 0;
  double bandwidth = 0;  // bytes/s that TCP gives when nobody shares
};

struct OuterRound {
  int64_t steps = 0;                                       // of a round
  int64_t fragment_bytes_up = 0, fragment_bytes_down = 0;  // a fragment, encoded
  int64_t bytes = 0;                                       // over all links, of one round
  int64_t compute_ns = 0;                    // steps of the slowest island that is waited for
  int64_t contribute_ns = 0, merged_ns = 0;  // the two transfers
  int64_t trips_ns = 0;                      // five one-way trips
  int64_t keeper_ns = 0;                     // encode, merge, decode, apply
  int64_t overlap_ns = 0;                    // steps that training goes on meanwhile
  int64_t exposed_ns = 0;                    // what training waits
  double utilisation = 1;                    // compute / (compute + exposed)
  std::vector<TransferFigures> transfers;    // of both phases together, by pair
  // By island: part of its time that it waits for slower ones, or -1 where it is the slowest.
  std::vector<double> waits;
  std::string slowest;

  int64_t round_trip_ns() const { return contribute_ns + merged_ns + trips_ns + keeper_ns; }
  int64_t period_ns() const { return compute_ns + exposed_ns; }
};

// Bytes of `num_values` on the wire: wan/codec's formats.
int64_t encoded_bytes(CodecKind codec, int64_t num_values);

// One island: no round, utilisation 1. Error: two sites without a link; an island whose site the
// cluster lacks.
Result<OuterRound> price_round(const std::vector<OuterIsland>& islands,
                               const OuterSetting& setting);

// What would suit these links, one sentence each; nothing is changed by it.
Result<std::vector<std::string>> advise(const std::vector<OuterIsland>& islands,
                                        const OuterSetting& setting);

}  // namespace skarv
