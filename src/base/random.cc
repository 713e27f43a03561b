#include "base/random.h"

namespace skarv {

PhiloxBlock philox(std::array<uint32_t, 2> key, PhiloxBlock counter) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

CounterRandom::CounterRandom(uint64_t seed, std::string_view name) {
  // FNV-1a of the name, folded into the key and a stream word.
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  key_ = {static_cast<uint32_t>(seed) ^ static_cast<uint32_t>(hash),
          static_cast<uint32_t>(seed >> 32) ^ static_cast<uint32_t>(hash >> 32)};
  stream_ = static_cast<uint32_t>((hash * 0x9E3779B97F4A7C15) >> 32);
}

uint64_t CounterRandom::at(uint64_t index) const {
  const PhiloxBlock block =
      philox(key_, {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), stream_, 0});
  return block[0] | uint64_t{block[1]} << 32;
}

uint64_t CounterRandom::below(uint64_t index, uint64_t bound) const {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(at(index)) * bound) >> 64);
}

float CounterRandom::normal(uint64_t index) const {
  // Two blocks give 16 half-words; 12 are used. Sum of 12 uniforms on [0, 65535]: mean 393210,
  // variance 12 * (65536^2 - 1) / 12, so the deviation is 65536 to 8 digits.
  const uint32_t low = static_cast<uint32_t>(index), high = static_cast<uint32_t>(index >> 32);
  const PhiloxBlock a = philox(key_, {low, high, stream_, 1});
  const PhiloxBlock b = philox(key_, {low, high, stream_, 2});
  int32_t sum = 0;
  for (uint32_t word : {a[0], a[1], a[2], a[3], b[0], b[1]}) {
    sum += static_cast<int32_t>(word & 0xFFFF) + static_cast<int32_t>(word >> 16);
  }
  return static_cast<float>(sum - 393210) * (1.0f / 65536.0f);
}

}  // namespace skarv
