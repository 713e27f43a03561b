// The keeper's disk log of merged payloads since the last outer checkpoint, durable before ACCEPTED
// is sent; peers that lag or lost memory are served from it. A folder of segment files:
//   "SKARVPL1", run digest; then records of a 64-byte header and the payload
//   header: u32 mark, i32 slab, i64 round, u64 payload bytes, leaf (32), u64 start of the SHA-256
//   of the 56 bytes before; little-endian
// What cannot be read back is reported as missing and fetched from another island; it is never
// guessed. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "wan/log_file.h"

namespace skarv {

struct PayloadEntry {
  int slab = 0;
  int64_t round = 0;
  Digest leaf;
};

class PayloadLog {
 public:
  // `run`: a log of another run in the folder is kFailedPrecondition, a file that is no log
  // kDataLoss. A torn tail is cut off. A segment that reached `segment_bytes` is followed by a new
  // one, so that prune() can delete.
  static Result<PayloadLog> open(const std::filesystem::path& folder, const Digest& run,
                                 int64_t segment_bytes = 256 << 20);

  // Not durable before sync(). A second payload of the same slab and round (a later attempt) stands
  // beside the first; the same leaf twice is written once. On failure (full disk) nothing held
  // before is lost, and a later append may succeed.
  Status append(int slab, int64_t round, const Digest& leaf, std::span<const std::byte> payload);
  Status sync();

  bool has(int slab, int64_t round, const Digest& leaf) const;
  // Checked against the leaf. Errors: kNotFound; kDataLoss when the disk changed the bytes.
  Result<std::vector<std::byte>> read(int slab, int64_t round, const Digest& leaf) const;
  // By round, then slab.
  std::vector<PayloadEntry> entries() const;

  // Deletes segments that hold only rounds below. Rounds kept in a segment with newer ones stay.
  Status prune(int64_t retain_from);
  int64_t num_bytes() const;
  int64_t num_torn_bytes() const { return num_torn_bytes_; }  // found by open

 private:
  struct Segment {
    LogFile file;
    int64_t last_round = 0;
  };
  struct Place {
    int64_t segment, offset, num_bytes;
  };
  PayloadLog(std::filesystem::path folder, Digest run, int64_t segment_bytes)
      : folder_(std::move(folder)), run_(run), segment_bytes_(segment_bytes) {}
  Status add_segment(int64_t number);
  Status load_segment(int64_t number, bool last);

  std::filesystem::path folder_;
  Digest run_;
  int64_t segment_bytes_;
  std::map<int64_t, Segment> segments_;  // by number; the last one grows
  std::map<std::tuple<int64_t, int, Digest>, Place> index_;
  int64_t num_torn_bytes_ = 0;
};

}  // namespace skarv
