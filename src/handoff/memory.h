// The memory that an agent and one worker share: a memfd, one per worker incarnation, with all state
// of the slabs that the worker owns. The agent is their keeper (w, m, v, e), the worker their
// trainer (snapshot, inner states). The worker holds the descriptor too, so an agent's crash keeps
// the outer state, and a worker's crash keeps everything.
//
// Layout: a header of 4096 bytes, stamps, then the arrays of each slab, each at a multiple of 64
// bytes, in the order of SlabMemory. Not a wire format: both sides are on one host, and the header
// carries the version and digests that must agree.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"
#include "spec/slab.h"

namespace skarv::handoff {

// Arrays of one slab, each of slab.size() floats. Index 0/1: double buffers.
struct SlabMemory {
  std::span<float> w[2], m[2], v[2];  // agent writes; v only in gradient mode
  std::span<float> e[2];              // agent; residual and the pending one
  std::span<float> snapshot;          // worker writes at a snapshot; agent reads until the next
  std::span<float> x[2], exp_avg[2], exp_avg_sq[2];  // worker writes at an inner snapshot
  std::span<int64_t> stamps;          // 8, the agent's
};

class SharedMemory {
 public:
  // For the slabs with these ids. Bytes are zero at first. Errors: kResourceExhausted.
  static Result<SharedMemory> create(const SlabTable& table, std::vector<int> slabs, bool gradient_mode);
  // Maps what the other side created; checks size, version, table and slabs. Error: kDataLoss.
  static Result<SharedMemory> adopt(FileHandle file, const SlabTable& table, std::vector<int> slabs,
                                    bool gradient_mode);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  int fd() const { return file_.get(); }
  const std::vector<int>& slabs() const { return slabs_; }
  // By position in slabs().
  const SlabMemory& operator[](size_t position) const { return arrays_[position]; }
  int64_t num_bytes() const { return num_bytes_; }

 private:
  SharedMemory() = default;
  static Result<SharedMemory> map(FileHandle file, const SlabTable& table, std::vector<int> slabs,
                                  bool gradient_mode, bool fresh);
  FileHandle file_;
  std::byte* base_ = nullptr;
  int64_t num_bytes_ = 0;
  std::vector<int> slabs_;
  std::vector<SlabMemory> arrays_;
};

}  // namespace skarv::handoff
