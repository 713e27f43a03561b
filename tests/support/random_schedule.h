// Valid schedules that no builder made: whoever runs schedules as data has to run these.
#pragma once

#include <cstdint>

#include "spec/schedule.h"

namespace skarv {

// A legal order of all actions of one step, drawn by `seed`: every rank gets its part of one random
// walk through the dependencies. Microbatches come in any order, backward whole or in two parts,
// groups in any order that all ranks share.
Schedule random_schedule(const Island& island, const Ownership& ownership, const SlabTable& table,
                         const Model& model, Precision precision, uint64_t seed);

}  // namespace skarv
