// The membership: who votes, who may merge, with what weight. A record of its own; version 1 is
// written when a run starts, and rule 11 (later ones) adds to the same chain of views.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "spec/lease.h"

namespace skarv::wan {

struct ViewIsland {
  std::string name;
  double uplink = 1;    // bytes per second, or any common measure: the share of merging it gets
  int64_t samples = 1;  // of a global step: the share of the data that it trains on
  bool operator==(const ViewIsland&) const = default;
};

struct View {
  int64_t version = 1;
  std::vector<ViewIsland> islands;  // all vote; position = index in messages of this process only

  bool operator==(const View&) const = default;
  int size() const { return static_cast<int>(islands.size()); }
  int index_of(const std::string& name) const;  // -1: no such island
  // An island's part of the data: of the samples of every round, a row as long as its share, in the
  // order of the islands. So which samples an island trains on hangs on the view alone.
  SampleLane lane_of(const std::string& name, int64_t steps_per_round) const;
};

// Promises that a coordinator with its disk intact needs (rule 10).
int promises_of(int num_islands);

Json to_json(const View& view);
Result<View> view_from_json(const Json& json, const std::string& origin);

}  // namespace skarv::wan
