// The merger's side of its slabs: the residual of what it sent out merged, and the newest merged
// payload. Kept in private memory: when the process is lost, residuals restart at zero; a
// checkpoint made in order keeps them. One thread at a time for one slab; different slabs may run
// at once after add().
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "spec/slab.h"
#include "wan/merge.h"

namespace skarv {

struct Merged {
  std::span<const std::byte> payload;  // valid until the slab's next merge
  Digest leaf;
  ValueFacts facts;
};

class MergerStore {
 public:
  // The table outlives the store.
  MergerStore(const SlabTable& table, CodecKind upload, CodecKind download, float residual_decay);

  void add(int slab);  // this island is now the slab's merger; residual zero
  void remove(int slab);
  bool holds(int slab) const { return slabs_.contains(slab); }

  // What the next merge adds; empty: zero. With restore, for checkpoints.
  std::span<const float> residual(int slab) const;
  void restore(int slab, std::span<const float> residual);

  // Merges contributions that passed check_payload, in the given order. A later attempt of the same
  // round replaces the earlier one and starts from the same residual. REQUIRES: holds(slab).
  Result<Merged> merge(int slab, int64_t round, std::span<const MergeInput> inputs);
  // The round was committed with this leaf: the residual advances if and only if it is ours.
  void commit(int slab, int64_t round, const Digest& leaf);

 private:
  struct Entry {
    std::vector<float> residual, next_residual;  // empty: zero
    std::vector<std::byte> payload;
    int64_t round = 0;
    Digest leaf;
  };
  const SlabTable& table_;
  const Codec& upload_;
  const Codec& download_;
  const float residual_decay_;
  std::map<int, Entry> slabs_;
};

}  // namespace skarv
