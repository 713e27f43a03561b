// What a profile says that each computing action of a rank takes at full speed: the one rule that
// the simulator predicts with and paced workers are charged by.
//
// forward and the backwards by layers and samples; with full recomputation the backward also pays
// the forward again; update by the share of each layer's parameters that the rank owns. Transfers
// and clip take nothing here: they are waits.
#pragma once

#include <map>
#include <tuple>

#include "base/clock.h"
#include "base/status.h"
#include "spec/ownership.h"
#include "spec/profile.h"
#include "spec/schedule.h"

namespace skarv {

LayerKind kind_of_layer(const Model& model, int layer);

class NominalTimes {
 public:
  // Everything that `rank` may be asked to do is looked up at once, so that a profile with a gap is
  // refused before the first step. Error: layer_time's.
  static Result<NominalTimes> create(const Island& island, const Ownership& ownership,
                                     const SlabTable& table, const Model& model,
                                     const Profile& profile, const std::string& chip, int rank);
  Duration of(const Action& action) const;

 private:
  using Key =
      std::tuple<ActionKind, int, int, int, int>;  // pipeline, stage, microbatch size, group
  Key key_of(const Action& action) const;
  Status add_stage(const Model& model, const Profile& profile, const std::string& chip,
                   int pipeline, int stage, const Island& island, int samples);

  struct Sizes {
    int whole, last, last_index;
  };
  std::vector<Sizes> sizes_;  // of microbatches, by pipeline
  std::map<Key, Duration> times_;
};

}  // namespace skarv
