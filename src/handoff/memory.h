// The memory that an agent shares with its workers: one memfd a host, made anew when the set of
// slabs owned there changes. It holds the keeper's region (opaque here; src/wan lays it out, the
// workers only read w in it) and, per slab, what the owning worker writes: snapshot and inner
// states. Every worker holds the descriptor too, so an agent's crash keeps the outer state, and a
// worker's crash keeps everything.
//
// Layout: a header page (the agent's words are in it), one entry a slab, the keeper's region, then
// the arrays of each slab, each at a multiple of 64 bytes. Not a wire format: both sides are on one
// host, and the header carries the version and digest that must agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"
#include "spec/slab.h"

namespace skarv::handoff {

// Arrays of one slab, each of slab.size() floats. Index 0/1: double buffers ("parity").
struct SlabMemory {
  std::span<float> w[2];      // in the keeper's region; the agent writes
  std::span<float> snapshot;  // worker writes at a snapshot; agent reads until the next
  std::span<float> x[2], exp_avg[2], exp_avg_sq[2];  // worker writes at an inner snapshot
};

class SharedMemory {
 public:
  // For the slabs with these ids and a keeper's region of this size. Bytes are zero at first.
  // Error: kResourceExhausted.
  static Result<SharedMemory> create(const SlabTable& table, std::vector<int> slabs,
                                     int64_t keeper_bytes);
  // Maps what the other side created; checks size, version, table and slabs. Error: kDataLoss.
  static Result<SharedMemory> adopt(FileHandle file, const SlabTable& table);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  int fd() const { return file_.get(); }
  const std::vector<int>& slabs() const { return slabs_; }
  bool holds(int slab) const { return arrays_.contains(slab); }
  // REQUIRES: holds(slab); for w, that the agent has placed it.
  const SlabMemory& at(int slab) const { return arrays_.at(slab); }

  std::span<std::byte> keeper_region() const;
  // Words that the agent keeps with the state they speak of; zero at first. Workers leave them
  // alone.
  static constexpr size_t kNumAgentWords = 256;
  std::span<int64_t> agent_words() const;
  // The agent says where in the keeper's region the two sides of a slab's w lie (byte offsets), and
  // after each outer step which side is the new one.
  void place_w(int slab, int64_t offset0, int64_t offset1);
  void set_current_w(int slab, int side);
  // Outer weights now, and before their last outer step. REQUIRES: holds(slab), placed.
  std::span<const float> w_now(int slab) const;
  std::span<const float> w_before(int slab) const;

  int64_t num_bytes() const { return num_bytes_; }

 private:
  SharedMemory() = default;
  void map_arrays(const SlabTable& table);

  FileHandle file_;
  std::byte* base_ = nullptr;
  int64_t num_bytes_ = 0;
  std::vector<int> slabs_;
  std::map<int, SlabMemory> arrays_;
  std::map<int, size_t> position_;  // in slabs_
};

}  // namespace skarv::handoff
