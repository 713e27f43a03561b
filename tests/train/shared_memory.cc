#include "shared_memory.h"

#include <algorithm>
#include <numeric>

#include "spec/model.h"

namespace skarv::train {
namespace {

int64_t padded_bytes(const Slab& slab) { return (slab.size() * 4 + 63) / 64 * 64; }

}  // namespace

handoff::SharedMemory genesis_memory(const SlabTable& table, uint64_t seed) {
  std::vector<int> slabs(table.size());
  std::iota(slabs.begin(), slabs.end(), 0);
  int64_t keeper_bytes = 0;
  for (const Slab& slab : table.slabs()) keeper_bytes += 2 * padded_bytes(slab);
  auto memory = handoff::SharedMemory::create(table, slabs, keeper_bytes).value();
  int64_t offset = 0;
  for (int slab : slabs) {
    const int64_t bytes = padded_bytes(table[slab]);
    memory.place_w(slab, offset, offset + bytes);
    offset += 2 * bytes;
    for (const auto& side : memory.at(slab).w) {
      initial_values(table.tensor_of(slab), seed, table[slab].begin, side);
    }
  }
  return memory;
}

void set_outer(handoff::SharedMemory& memory, int slab, std::span<const float> values) {
  const int other = memory.w_now(slab).data() == memory.at(slab).w[0].data() ? 1 : 0;
  std::copy(values.begin(), values.end(), memory.at(slab).w[other].begin());
  memory.set_current_w(slab, other);
}

}  // namespace skarv::train
