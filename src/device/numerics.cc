#include "device/numerics.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <string>

#include "device/torch_error.h"

namespace skarv {

Status apply(const Numerics& numerics) {
  if (numerics.num_threads < 1 || numerics.num_threads > 1024) {
    return config_error("num_threads is " + std::to_string(numerics.num_threads))
        .with_hint("between 1 and 1024, at best the cores of the host divided by its workers");
  }
  return guarded("numerics", [&] {
    at::set_num_threads(numerics.num_threads);
    at::Context& context = at::globalContext();
    const bool fast = !numerics.parity;
    context.setDeterministicAlgorithms(numerics.parity, /*warn_only=*/false);
    // Filling fresh memory with NaN is the debugging half of that switch; it costs and changes
    // nothing.
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(numerics.parity);
    context.setBenchmarkCuDNN(false);
    context.setFloat32MatmulPrecision("highest");
    context.setAllowBF16ReductionCuBLAS(fast);
    context.setAllowFP16ReductionCuBLAS(fast);
    context.setSDPUseFlash(fast);
    context.setSDPUseMemEfficient(fast);
    context.setSDPUseCuDNN(fast);
    context.setSDPUseMath(true);
  });
}

}  // namespace skarv
