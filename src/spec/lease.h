// The ledger of samples: which range of sample numbers is whose, and which were used. The
// coordinator keeps one per run, so that over all islands, crashes and evictions each sample is
// granted to one holder at a time and used once.
//
// Pure and deterministic: the same calls give the same ranges. Not thread-safe. It does not know
// epochs, time or deadlines; who evicts a holder calls `release`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace skarv {

// Samples [begin, end).
struct SampleRange {
  uint64_t begin = 0, end = 0;
  auto operator<=>(const SampleRange&) const = default;
  uint64_t size() const { return end - begin; }
};

// Every `block` samples in a row, those at the places [begin, end): the part of the data that one
// island trains on. Lanes that divide the block share the data without meeting, so who asks first
// changes nothing.
struct SampleLane {
  uint64_t block = 1, begin = 0, end = 1;  // by default all samples
  uint64_t width() const { return end - begin; }
};

// A set of sample numbers as disjoint ranges; neighbours are joined, so its size is that of its
// gaps.
class SampleSet {
 public:
  bool contains(SampleRange range) const;
  bool overlaps(SampleRange range) const;
  void add(SampleRange range);     // REQUIRES: !overlaps(range), begin < end
  void remove(SampleRange range);  // REQUIRES: contains(range), begin < end
  // Takes the lowest `count` samples of the lane out, fewer when there are fewer.
  std::vector<SampleRange> take(uint64_t count, const SampleLane& lane = {});
  std::vector<SampleRange> ranges() const;
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool operator==(const SampleSet&) const = default;

 private:
  std::map<uint64_t, uint64_t> ends_;  // by begin
  uint64_t size_ = 0;
};

class LeaseBook {
 public:
  // `count` samples of the lane for `holder`, lowest numbers first. What the other lanes pass over
  // stays free. Errors: kInvalidArgument without a name or for an empty lane; kResourceExhausted
  // when sample numbers run out (2^63).
  Result<std::vector<SampleRange>> grant(const std::string& holder, uint64_t count,
                                         const SampleLane& lane = {});

  // `holder` has trained on `ranges`: they are done for ever. All or nothing.
  // Errors: kFailedPrecondition when the holder does not hold all of them (released meanwhile, used
  // before, never granted, or listed twice), kInvalidArgument for an empty range.
  Status used(const std::string& holder, const std::vector<SampleRange>& ranges);

  // `ranges` of the holder go back unused, as when its contribution was refused. Errors as `used`.
  Status give_back(const std::string& holder, const std::vector<SampleRange>& ranges);

  // Everything that `holder` holds goes back; what it says it used later is refused. Returns the
  // number of samples. A holder that is not known has none.
  uint64_t release(const std::string& holder);

  uint64_t num_used() const { return used_.size(); }
  uint64_t num_held() const;
  uint64_t num_free() const { return free_.size(); }  // below next_fresh
  uint64_t num_held(const std::string& holder) const;
  uint64_t next_fresh() const { return next_fresh_; }  // nor was any from here on ever granted
  std::vector<SampleRange> used_ranges() const { return used_.ranges(); }
  std::vector<SampleRange> held_ranges(const std::string& holder) const;

  // Every sample below next_fresh is in exactly one state: used, free, or held by one holder.
  Status check() const;

  // {"version": 1, "next_fresh": 300, "used": [[0, 100]], "free": [], "held": {"north": [...]}}
  Json to_json() const;
  // Errors: kInvalidArgument for unknown or missing keys and for a book that fails `check`.
  static Result<LeaseBook> from_json(const Json& json);

  bool operator==(const LeaseBook&) const = default;

 private:
  Status take_from(const std::string& holder, const std::vector<SampleRange>& ranges,
                   SampleSet* target);

  uint64_t next_fresh_ = 0;
  SampleSet used_, free_;
  std::map<std::string, SampleSet> held_;  // no empty sets
};

}  // namespace skarv
