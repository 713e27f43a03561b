// Which islands are worth their rounds: one behind a slow link may cost the others more waiting
// than it trains.
#pragma once

#include <vector>

#include "plan/outer/outer_round.h"

namespace skarv {

// Global batches per second, rounds included, of `islands` that train together. Errors as
// price_round's.
Result<double> speed_with_rounds(const std::vector<OuterIsland>& islands,
                                 const OuterSetting& setting);

// A part of the islands that would train the same global batch.
struct FewerIslands {
  std::vector<size_t> left_out;  // of the islands asked about, ascending
  double speed = 0;              // global batches per second
};

// Parts of at least `min_islands` that would be faster than all together, fastest first. What is
// left takes over the samples of the others in proportion, so that its steps become longer and hide
// more of a round. Of more than ten islands one alone is left out. Errors as price_round's.
Result<std::vector<FewerIslands>> faster_without(const std::vector<OuterIsland>& islands,
                                                 const OuterSetting& setting, int min_islands);

}  // namespace skarv
