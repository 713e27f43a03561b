// Several stages a device: the ramp of a pipeline shrinks, its messages multiply.
#pragma once

#include <optional>

#include "spec/plan.h"

namespace skarv {

// The island with every zero-bubble pipeline of two or more stages in twice as many: each device
// has one of the first half and one of the second, with as many layers together as before. Nullopt
// when no pipeline changes: too few layers, or devices in several stages already.
std::optional<Island> interleave(const Island& island);

}  // namespace skarv
