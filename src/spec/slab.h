// Slabs (protocol.md, 1): contiguous ranges of one tensor, a function of the model only. They are
// the unit of owning, merging, versions, digests, optimizer sharding and checkpoint shards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/digest.h"
#include "spec/model.h"

namespace skarv {

struct Slab {
  int tensor;     // index into tensors_of(model)
  int layer;      // of the tensor
  int64_t begin;  // first element
  int64_t end;    // one past the last
  int fragment;   // merged in rounds n with fragment_order[n mod num_fragments] == fragment

  int64_t size() const { return end - begin; }
};

// At most this many elements in a slab, cut at multiples of the largest codec block.
inline constexpr int64_t kMaxSlabElements = 4 << 20;
inline constexpr int64_t kSlabAlignment = 4096;

class SlabTable {
 public:
  // Fragments are strided over layers (block i in fragment i mod num_fragments; embedding and head
  // go to the lightest), as in Streaming DiLoCo (2501.18512).
  SlabTable(const Model& model, int num_fragments);

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  const std::vector<Slab>& slabs() const { return slabs_; }
  int num_fragments() const { return num_fragments_; }
  int size() const { return static_cast<int>(slabs_.size()); }
  const Slab& operator[](int slab) const { return slabs_[slab]; }
  const TensorSpec& tensor_of(int slab) const { return tensors_[slabs_[slab].tensor]; }
  // All slabs in descending size, ties: lowest first.
  const std::vector<int>& by_size() const { return by_size_; }
  std::vector<int> slabs_of_fragment(int fragment) const;
  std::vector<int> slabs_of_tensor(int tensor) const;
  // Fragment of round n (rounds count from 1; record 0 is genesis).
  int fragment_of_round(int64_t round) const;
  int64_t num_elements() const { return num_elements_; }
  Digest digest() const;                // part of the handshake
  std::string name_of(int slab) const;  // "model.norm.weight[0:192]" for messages

 private:
  std::vector<TensorSpec> tensors_;
  std::vector<Slab> slabs_;  // in the order of their tensors, and so of their layers
  std::vector<int> by_size_;
  int num_fragments_;
  int64_t num_elements_ = 0;
};

}  // namespace skarv
