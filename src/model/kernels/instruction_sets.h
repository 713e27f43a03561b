// One table per instruction set; which of them a CPU can run is known in dispatch.cc.
#pragma once

#include "model/kernels/table.h"

namespace skarv::kernels {

extern const Table kPortable;
#if defined(__x86_64__)
extern const Table kAvx2;
extern const Table kAvx512;
#endif

}  // namespace skarv::kernels
