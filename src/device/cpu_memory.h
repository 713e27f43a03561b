// Counts the bytes of CPU tensors in this process: libtorch keeps such figures for accelerators
// only.
#pragma once

#include <cstdint>

namespace skarv {

struct CpuMemory {
  int64_t allocated_bytes = 0;
  int64_t peak_bytes = 0;
};

// Puts a counting allocator in front of libtorch's own. Idempotent and thread-safe; call it before
// the tensors that are to be counted exist (the first call of the others below does it too).
// Memory of tensors made earlier is never counted, neither when made nor when freed.
void count_cpu_memory();
CpuMemory cpu_memory();
void reset_cpu_peak();  // the peak starts again from what is allocated now

}  // namespace skarv
