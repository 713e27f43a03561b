// Settings of the whole process that change results or their repeatability. Set them once, after
// the plug-in is loaded and before the first op: libtorch hands the number of threads to its
// backward threads when they start.
#pragma once

#include "base/status.h"

namespace skarv {

struct Numerics {
  // Threads of one CPU op. With several workers on a host: cores / workers, and the environment
  // variable OMP_WAIT_POLICY=passive for the process, or idle threads burn the others' time.
  int num_threads = 1;
  // For fp32 runs that are compared with others: products in full fp32 (no TF32, no
  // reduced-precision accumulation), deterministic algorithms, attention by plain products. Slower
  // on GPUs.
  bool parity = false;
};

// Error: kInvalidArgument for num_threads outside 1..1024.
Status apply(const Numerics& numerics);

}  // namespace skarv
