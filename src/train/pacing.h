// What each action of a paced rank is charged: the nominal time at full speed, from the profile.
// Device room's Pacer divides it by the share and sleeps for the rest.
//
// Charged: forward and the backwards by layers and microbatch size; update by the share of each
// layer's parameters that the rank owns, a figure that includes reducing, clipping and staging
// (probe.h measures it so). Transfers are not charged: they are the waits that are to be measured.
#pragma once

#include <map>
#include <tuple>

#include "base/clock.h"
#include "base/status.h"
#include "spec/ownership.h"
#include "spec/profile.h"
#include "spec/schedule.h"

namespace skarv::train {

class NominalTimes {
 public:
  // Looks every action of `actions` up at once, so that a profile with a gap is refused before the
  // first step. Error: layer_time's.
  static Result<NominalTimes> create(const std::vector<Action>& actions, const Island& island,
                                     const Ownership& ownership, const SlabTable& table,
                                     const Model& model, const Profile& profile,
                                     const std::string& chip, int rank);
  // Zero for transfers.
  Duration of(const Action& action) const;

 private:
  using Key = std::tuple<ActionKind, int, int, int, int>;  // pipeline, stage, microbatch, group
  static Key key_of(const Action& action);
  std::map<Key, Duration> times_;
};

}  // namespace skarv::train
