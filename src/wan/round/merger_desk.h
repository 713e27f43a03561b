// An island's part as merger: contributions to its slabs as they arrive, and what it merged of
// them. Bookkeeping; measuring and merging are jobs. Contributions of the next round may come while
// the present one is still being applied, so two rounds are kept.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wan/round/message.h"

namespace skarv::wan {

class MergerDesk {
 public:
  struct Received {
    Digest leaf;
    net::Buffer bytes;
    ValueFacts facts;
    bool measured = false;
  };
  struct Result {
    Digest leaf;
    net::Buffer bytes;
    ValueFacts facts;
  };

  // True: new, to be measured. False: known already, or others are measured and not `replace`.
  bool add(int64_t round, const std::string& island, int slab, const Digest& leaf,
           const net::Buffer& bytes, bool replace);
  void measured(int64_t round, const std::string& island, int slab, const Digest& leaf,
                const ValueFacts& facts);
  void refuse(int64_t round, const std::string& island, int slab, const Digest& leaf);
  void forget(int64_t round, const std::string& island) { received_[round].erase(island); }
  const Received* find(int64_t round, const std::string& island, int slab) const;
  // Of these slabs, what is measured; null unless all are.
  std::optional<Have> have(int64_t round, const std::string& island,
                           const std::vector<int>& slabs) const;
  std::vector<std::string> islands_of(int64_t round) const;

  // --- merging, of one attempt
  void start_attempt(const Fence& fence);
  bool started(int slab) const { return merging_.contains(slab); }
  void start(int slab) { merging_[slab] = std::nullopt; }
  void finish(int slab, Result result) { merging_[slab] = std::move(result); }
  // By slab; empty while it is being merged.
  const std::map<int, std::optional<Result>>& results() const { return merging_; }
  // Facts of all `slabs`, in order; null unless all are merged.
  std::optional<MergedFacts> merged(const std::vector<int>& slabs,
                                    const std::vector<RecordEntry>& delivered) const;

  void drop_rounds_through(int64_t round);
  void clear();

 private:
  std::map<int64_t, std::map<std::string, std::map<int, Received>>> received_;
  Fence fence_;
  std::map<int, std::optional<Result>> merging_;
};

}  // namespace skarv::wan
