#include "model/kernels/dispatch.h"

#include "model/kernels/instruction_sets.h"

namespace skarv::kernels {

std::vector<const Table*> available() {
  std::vector<const Table*> tables = {&kPortable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&kAvx512);
  }
#endif
  return tables;
}

const Table& best() {
  static const Table& chosen = *available().back();
  return chosen;
}

template <>
const LayerKernels<float>& best_for() {
  return best().fp32;
}
template <>
const LayerKernels<Bf16>& best_for() {
  return best().bf16;
}

}  // namespace skarv::kernels
