// What every computing action and every collective of an island's schedule costs, in integer
// nanoseconds, for one representative of each class of equal devices (plan/cost/fold.h).
//
// The same times as paced workers are charged (spec/nominal.h). Immutable, any thread.
#pragma once

#include <map>
#include <vector>

#include "plan/cost/device_index.h"
#include "plan/cost/fold.h"
#include "plan/cost/group_cost.h"
#include "plan/cost/workload.h"
#include "spec/schedule.h"

namespace skarv {

class IslandCost {
 public:
  // `query` describes the whole island, `fold` is of it. Error: a gap in the times, a missing link.
  // REQUIRES: check_devices passed.
  static Result<IslandCost> create(const GroupQuery& query, const Workload& workload,
                                   const Fold& fold);
  // Of an island of which nothing is folded.
  static Result<IslandCost> create(const Island& island, const Ownership& ownership,
                                   const SlabTable& table, const Run& run, const Cluster& cluster,
                                   const DeviceIndex& devices, const Profile& profile);

  const Fold& fold() const { return fold_; }
  int num_ranks() const { return fold_.num_ranks(); }
  int num_groups() const { return static_cast<int>(groups_.size()); }
  // Ranks are those of the folded island. Nominal time divided by the pace of a paced device.
  int64_t compute_ns(int rank, const Action& action) const;
  const GroupTimes& group(int group) const { return groups_[group]; }
  int64_t clip_ns() const { return clip_ns_; }
  // Ranks of the folded island that take part.
  int num_members(int group) const { return num_members_[group]; }

 private:
  // One stage of a rank, for whole microbatches and for the last one.
  struct Times {
    int64_t forward = 0, input = 0, weight = 0;
  };
  struct SeatTimes {
    int pipeline, stage;
    int last_microbatch;
    Times whole, last;
  };
  Status add_seats(const GroupQuery& query, const Workload& workload);
  Status add_updates(const GroupQuery& query, const Workload& workload);

  Fold fold_;
  std::vector<double> pace_;                    // by rank
  std::vector<std::vector<SeatTimes>> seats_;   // by rank
  std::vector<std::map<int, int64_t>> update_;  // by rank, then group
  std::vector<GroupTimes> groups_;
  std::vector<int> num_members_;
  int64_t clip_ns_ = 0;
};

// Every device of the island is in the cluster. Error: kNotFound with the name.
Status check_devices(const Island& island, const DeviceIndex& devices);

}  // namespace skarv
