// The one number that all ranks of an island must agree on in a step: the global gradient norm, the
// factor that clips it and the decision to skip. Rank 0 computes them once and ships their bits.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "comm/edges.h"

namespace skarv::comm {

struct Clip {
  double norm = 0;    // of the summed gradient
  double factor = 1;  // to multiply the gradient by
  bool skip = false;  // the norm is not finite: no update in this step
  Time arrived{};     // when this rank knew
};

// `squared_norm`: of the slabs that this rank owns. Summed in rank order. `max_norm` 0: no
// clipping.
Result<Clip> agree_on_clip(Edges& edges, int64_t step, double squared_norm, double max_norm,
                           Duration patience);

}  // namespace skarv::comm
