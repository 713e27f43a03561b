#include "wan/round/placement.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace skarv::wan {

namespace {

// -log2(value / 2^32) in units of 2^-16, by repeated squaring: 16 exact binary digits.
uint64_t negative_log2(uint32_t value) {
  if (value == 0) value = 1;
  const int exponent = 31 - std::countl_zero(value);
  uint64_t mantissa = uint64_t{value} << (31 - exponent);  // [2^31, 2^32)
  uint64_t fraction = 0;
  for (int i = 0; i < 16; ++i) {
    mantissa = (mantissa * mantissa) >> 31;
    fraction <<= 1;
    if (mantissa >= uint64_t{1} << 32) {
      mantissa >>= 1;
      fraction |= 1;
    }
  }
  return (uint64_t{32} << 16) - ((static_cast<uint64_t>(exponent) << 16) + fraction);
}

// FNV-1a over the name, then the finalizer of splitmix64: it has to be even, not secret.
uint32_t hash_of(int slab, const std::string& island) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char letter : island) hash = (hash ^ static_cast<uint8_t>(letter)) * 0x100000001b3u;
  hash += static_cast<uint64_t>(slab + 1) * 0x9e3779b97f4a7c15u;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  return static_cast<uint32_t>((hash ^ (hash >> 31)) >> 32);
}

}  // namespace

std::string merger_of(int slab, const View& view, const std::vector<std::string>& mergers) {
  double least_cost = 0;
  std::string best;
  for (const ViewIsland& island : view.islands) {
    if (std::find(mergers.begin(), mergers.end(), island.name) == mergers.end()) continue;
    // An island without an uplink figure still merges when it is the only one.
    const double uplink = std::max(island.uplink, 1e-30);
    const double cost = static_cast<double>(negative_log2(hash_of(slab, island.name)) + 1) / uplink;
    if (best.empty() || cost < least_cost) {
      least_cost = cost;
      best = island.name;
    }
  }
  return best;
}

}  // namespace skarv::wan
