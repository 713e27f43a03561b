// Payload bytes of the actions of a schedule: one rule for builders, simulator and tests.
#pragma once

#include <cstdint>

#include "spec/ownership.h"
#include "spec/run.h"

namespace skarv {

int64_t element_bytes(Precision precision);  // of values in compute precision

// Activation, or its gradient, at a border of stages: samples * context * hidden elements.
int64_t border_bytes(const Model& model, Precision precision, int samples);

// What `rank`, a member of the group, sends: fp32 gradients of the slabs that others own ...
int64_t reduce_bytes(const Ownership& ownership, const SlabTable& table, int group, int rank);
// ... and the new weights of its own slabs to every other member.
int64_t gather_bytes(const Ownership& ownership, const SlabTable& table, int group, int rank,
                     Precision precision);

}  // namespace skarv
