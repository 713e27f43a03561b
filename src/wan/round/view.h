// The membership: who votes, who may merge, with what weight. A record of its own; version 1 is
// written when a run starts, and rule 11 (later ones) adds to the same chain of views.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace skarv::wan {

struct ViewIsland {
  std::string name;
  double uplink = 1;  // bytes per second, or any common measure: the share of merging it gets
  bool operator==(const ViewIsland&) const = default;
};

struct View {
  int64_t version = 1;
  std::vector<ViewIsland> islands;  // all vote; position = index in messages of this process only

  bool operator==(const View&) const = default;
  int size() const { return static_cast<int>(islands.size()); }
  int index_of(const std::string& name) const;  // -1: no such island
};

// Islands that have to accept before a commit (protocol.md, 2).
int quorum_of(int num_islands, int durable_copies);
// Promises that a coordinator with its disk intact needs (rule 10).
int promises_of(int num_islands);

Json to_json(const View& view);
Result<View> view_from_json(const Json& json, const std::string& origin);

}  // namespace skarv::wan
