// The coordinator's knowledge of the one open round: who offered, what the mergers hold, how the
// contributions were judged, who accepted. Pure bookkeeping: no time, no sending; the machine
// decides when to move on.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "spec/run.h"
#include "spec/slab.h"
#include "wan/round/message.h"

namespace skarv::wan {

class CoordinatorRound {
 public:
  enum class State { kOpen, kClosed, kAccepting };

  // `table` and `view` outlive this.
  CoordinatorRound(const SlabTable& table, const View& view, int64_t round);

  int64_t round() const { return round_; }
  int64_t attempt() const { return attempt_; }
  State state() const { return state_; }
  int fragment() const { return fragment_; }
  const std::vector<int>& slabs() const { return slabs_; }
  const std::vector<std::string>& mergers() const { return mergers_; }

  // Offers stay valid, and what mergers hold once they have told again; merged bytes of the attempt
  // before die (rule 4).
  void start_attempt(std::vector<std::string> mergers);

  // --- open
  // False: nothing new. A newer generation replaces an older one.
  bool add_offer(const Offer& offer);
  void drop_offer(const std::string& island);
  const Offer* offer_of(const std::string& island) const;  // null: none
  bool declined(const std::string& island) const;
  // Returns a fault that is the contributor's: its leaves do not give the root that it offered.
  Status add_have(const std::string& merger, const Have& have);
  // What this merger reported is gone with its memory.
  void forget_merger(const std::string& merger);
  const std::set<std::string>& doubtful() const { return doubtful_; }
  // Offered, and every slab is with its present merger.
  bool complete(const std::string& island) const;
  std::vector<std::string> complete_islands() const;
  // Slabs of `island` that its present mergers have not reported, by merger.
  bool owes_have(const std::string& merger) const;

  // --- closed
  // Judges and weighs the complete contributions. Error: kFailedPrecondition when none is left
  // after judging.
  Status close(const ExchangeSettings& exchange);
  const std::vector<RecordEntry>& delivered() const { return delivered_; }
  // False: stale, or merged from other inputs than the coordinator knows of.
  bool add_merged(const std::string& merger, const MergedFacts& facts);
  bool owes_merged(const std::string& merger) const;
  bool merged() const { return merged_.size() == slabs_.size(); }
  double merged_norm() const;
  std::vector<Digest> leaves() const;  // REQUIRES: merged()

  // --- accepting
  void propose(Record record);
  const Record& record() const { return *record_; }
  const Digest& record_digest() const { return record_digest_; }
  bool add_accepted(const std::string& island, const Digest& record);
  bool accepted(const std::string& island) const;
  int num_accepted() const { return static_cast<int>(accepted_.size()); }

 private:
  struct Held {
    std::string merger;
    SlabFacts facts;
  };
  // Whether all slabs that are held of the island are those that it offered; else none is held any
  // more, and the mergers fetch them again.
  Status check_root(const std::string& island);

  const SlabTable& table_;
  const View& view_;
  const int64_t round_;
  const int fragment_;
  const std::vector<int> slabs_;
  int64_t attempt_ = 0;
  State state_ = State::kOpen;
  std::vector<std::string> mergers_;
  std::map<int, std::string> merger_;  // by slab
  std::map<std::string, Offer> offers_;
  std::map<std::string, std::map<int, Held>> held_;  // island -> slab
  std::set<std::string> doubtful_;  // their leaves did not give the root that they offered
  std::vector<RecordEntry> delivered_;
  std::map<int, SlabFacts> merged_;
  std::optional<Record> record_;
  Digest record_digest_;
  std::map<std::string, bool> accepted_;
};

// Over the leaves of the contributions that a merger merged: both sides compute it.
Digest inputs_digest(const std::vector<int>& slabs, const std::vector<std::vector<Digest>>& leaves);

}  // namespace skarv::wan
