#include "model/kernels/all_bodies.h"
#include "model/kernels/instruction_sets.h"

namespace skarv::kernels {

const Table kPortable = table_named("portable");

}  // namespace skarv::kernels
