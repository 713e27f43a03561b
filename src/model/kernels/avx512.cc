#include "model/kernels/instruction_sets.h"

#if defined(__x86_64__)
#include "model/kernels/all_bodies.h"

namespace skarv::kernels {

const Table kAvx512 = table_named("avx512");

}  // namespace skarv::kernels
#endif
