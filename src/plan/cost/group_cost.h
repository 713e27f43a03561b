// What reducing gradients and gathering weights takes, group by group, and how long it takes to
// agree on the clip factor.
//
// Members of one maker in one site use its collective library: reduce-scatter of fp32 gradients,
// all-gather of weights (plan/cost/collective.h). Owners' shares may differ: the operation costs as
// an even one whose parts all are as large as the largest. Members of several makers or sites send
// directly: each gradient to its owner, each weight to all others, over host memory.
#pragma once

#include <vector>

#include "plan/cost/device_index.h"
#include "plan/cost/group_load.h"
#include "spec/plan.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

struct GroupTimes {
  int64_t reduce_ns = 0, gather_ns = 0;  // from the last member's arrival to the end for all
  // What the member that moves most sends and receives, payload.
  int64_t reduce_bytes = 0, gather_bytes = 0;
};

struct GroupQuery {
  const Island& island;  // the whole one
  const std::vector<GroupLoad>& loads;
  Precision precision;
  const Cluster& cluster;
  const DeviceIndex& devices;
  const HostIndex& hosts;
  const Profile& links;
};

// By group of `loads`. Error: a missing link between sites.
Result<std::vector<GroupTimes>> group_times(const GroupQuery& query);
// To the first rank and back, by the slowest of `ranks` (all, or one of each class).
Result<int64_t> clip_time(const GroupQuery& query, const std::vector<int>& ranks);

}  // namespace skarv
