// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A value is a pure function of
// (key, counter), so it does not depend on layout, order, thread or machine.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace skarv {

using PhiloxBlock = std::array<uint32_t, 4>;

// One block of four words.
PhiloxBlock philox(std::array<uint32_t, 2> key, PhiloxBlock counter);

// A stream named by a seed and a name: `at(i)` is the i-th 64-bit word.
class CounterRandom {
 public:
  CounterRandom(uint64_t seed, std::string_view name);
  uint64_t at(uint64_t index) const;
  // Uniform in [0, bound), without modulo bias worth measuring (bound < 2^32 gives bias < 2^-32).
  uint64_t below(uint64_t index, uint64_t bound) const;
  // Approximately normal (mean 0, variance 1): the scaled sum of 12 uniforms of 16 bits, in integer
  // arithmetic until one exact conversion. Never libm, whose variants differ between machines.
  float normal(uint64_t index) const;

 private:
  std::array<uint32_t, 2> key_;
  uint32_t stream_;
};

}  // namespace skarv
