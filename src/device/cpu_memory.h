// The memory of CPU tensors in this process: counted, since libtorch keeps such figures for
// accelerators only, and kept between steps.
#pragma once

#include <cstdint>

namespace skarv {

struct CpuMemory {
  int64_t allocated_bytes = 0;
  int64_t peak_bytes = 0;
};

// Puts a counting allocator in front of libtorch's own, and lets the process keep what is freed: a
// step asks for the same blocks again, and fresh pages cost it 7 % of its time (bench/model; one
// thread). The process stays as large as its peak. Idempotent and thread-safe; call it before
// the tensors that are to be counted exist (the first call of the others below does it too).
// Memory of tensors made earlier is never counted, neither when made nor when freed.
void count_cpu_memory();
CpuMemory cpu_memory();
void reset_cpu_peak();  // the peak starts again from what is allocated now

}  // namespace skarv
