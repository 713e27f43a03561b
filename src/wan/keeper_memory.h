// The memory of a keeper, in one region that may be a memfd shared with a worker: a worker that
// holds it too keeps it alive through an agent's crash, and the next agent adopts it. Layout: a
// header page, one stamp a fragment, one stamp a slab, then the arrays of each slab. Zeroed memory
// is a valid empty keeper.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "spec/slab.h"
#include "wan/codec/codec.h"

namespace skarv {

// What the arrays are made for. Two keepers with equal settings lay memory out equally.
struct KeeperSettings {
  std::vector<int> slabs;  // held here, ascending
  CodecKind upload = CodecKind::kIdentity, download = CodecKind::kIdentity;
  bool exact = false;           // AdamW in the keeper: a second moment v
  float residual_decay = 1.0f;  // of e, by every round it waits
};

// Rounds and versions stand in memory plus one, so that zero means none.
inline constexpr int64_t kNoVersion = -1;

// The newest round of a fragment that this keeper applied. Of the two sides of a slab that one is
// current which has the highest version not above it: one store flips all slabs of the fragment.
struct alignas(64) FragmentStamp {
  std::atomic<int64_t> applied_plus_one;
};

struct alignas(64) SlabStamp {
  std::array<std::atomic<int64_t>, 2> version_plus_one;   // of w, m, v
  std::array<std::atomic<int64_t>, 2> residual_plus_one;  // of e: the round that installed it
  std::atomic<int64_t> contribution_plus_one;             // round of the frozen contribution
  std::atomic<int64_t> merged_plus_one;                   // round of the tentative merged payload
  Digest contribution_leaf, merged_leaf;
};
static_assert(std::atomic<int64_t>::is_always_lock_free);

struct SlabMemory {
  int slab = 0;
  SlabStamp* stamp = nullptr;
  std::array<std::span<float>, 2> w, m;
  std::array<std::span<float>, 2> v;         // empty unless exact
  std::array<std::span<float>, 2> residual;  // empty when uploads are lossless
  std::span<std::byte> contribution, merged;
};

// Owns a region, or lies in one that the caller keeps alive. Movable; addresses never change.
class KeeperMemory {
 public:
  static int64_t bytes_for(const SlabTable& table, const KeeperSettings& settings);

  // Private memory. Error: kResourceExhausted.
  static Result<KeeperMemory> allocate(const SlabTable& table, const KeeperSettings& settings);
  // `region` is 64-byte aligned, of at least bytes_for(), and either zeroed or what an earlier
  // keeper left. Error: kFailedPrecondition when that one had another model, other slabs or codecs.
  static Result<KeeperMemory> adopt(std::span<std::byte> region, const SlabTable& table,
                                    const KeeperSettings& settings);

  const KeeperSettings& settings() const { return settings_; }
  bool was_empty() const { return was_empty_; }  // false: state was adopted
  std::span<FragmentStamp> fragments() const { return fragments_; }
  std::span<const SlabMemory> slabs() const { return slabs_; }  // in the order of settings().slabs
  // Where an array lies in the region, for a worker that maps the same memfd.
  int64_t offset_of(const void* address) const;

 private:
  struct Unmap {
    size_t size;
    void operator()(std::byte* region) const;
  };
  KeeperSettings settings_;
  std::unique_ptr<std::byte, Unmap> owned_;
  std::byte* begin_ = nullptr;
  std::span<FragmentStamp> fragments_;
  std::vector<SlabMemory> slabs_;
  bool was_empty_ = true;
};

}  // namespace skarv
