// Numbers in memory and in registers: fp32 as it is, bf16 rounded to nearest even; see table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/table.h"

namespace {

using skarv::kernels::Bf16;

inline float load(float x) { return x; }
inline float load(Bf16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }

template <typename T>
T store(float x);
template <>
inline float store<float>(float x) {
  return x;
}
template <>
inline Bf16 store<Bf16>(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : 0x7fc0u)};
}

}  // namespace
