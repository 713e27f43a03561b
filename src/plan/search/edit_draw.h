// Several small changes at once, drawn: what is left to try when no change that refine.h knows of
// makes a plan faster by itself.
#pragma once

#include <map>

#include "base/random.h"
#include "plan/search/edits.h"
#include "plan/search/limits.h"

namespace skarv {

class EditDraw {
 public:
  // Both outlive it. The same draws for the same calls.
  EditDraw(const DeviceIndex& devices, const PlannerLimits& limits)
      : devices_(devices), limits_(limits), random_(1, "several edits") {}

  // One to three edits, the first of them to the island `first`. The islands that changed, by
  // index; none: what was drawn makes no sense.
  std::map<size_t, Island> next(const std::vector<Island>& islands, size_t first);

 private:
  size_t below(size_t bound) { return random_.below(num_drawn_++, bound); }
  bool edit(Island& island);
  bool edit_border(size_t index, Island& island);
  bool edit_devices(size_t index, Island& island);
  bool edit_microbatch(size_t index, Island& island);
  bool edit_schedule(size_t index, Island& island);

  const DeviceIndex& devices_;
  const PlannerLimits& limits_;
  const CounterRandom random_;
  uint64_t num_drawn_ = 0;
};

}  // namespace skarv
