// What a trainer has to remember of the protocol so that it can go back to an earlier state of its
// local weights, the stable one, and go on from there as if nothing had happened since: with the
// same samples, the same merged weights at the same steps, and without delivering anything twice.
// Whoever keeps it where it outlives the process (and the stable state with it) loses nothing when
// the process dies. Pure; not thread-safe.
#pragma once

#include <deque>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "spec/lease.h"
#include "wan/round/actions.h"
#include "wan/round/island_machine.h"

namespace skarv::wan {

class LocalJournal {
 public:
  // Of local weights that begin as the outer ones after this round.
  explicit LocalJournal(int64_t round = 0) : round_(round) {}

  // --- what happens. Steps count optimizer steps done.
  void leased(const LeaseGranted& lease);
  void trained(int64_t step, int64_t tokens, const std::vector<SampleRange>& samples);
  // Frozen for the protocol, before it is told.
  void froze(int64_t round, int64_t step);
  // An ApplyLocal came. A reset voids everything.
  void wanted(const ApplyLocal& apply);
  // It was taken with so many steps done, after a stable state there, if any.
  void took(int64_t round, int64_t step);
  // There is a newer stable state.
  void stable(int64_t step);

  // --- how to go on from the stable state
  LocalState state() const;
  const std::deque<SampleRange>& samples() const { return samples_; }  // in this order
  // To be taken at their not_before_step; token 0.
  std::vector<ApplyLocal> applies() const;
  // Whether one of them takes the difference to the outer weights before.
  bool needs_base() const;

  int64_t num_changes() const { return num_changes_; }  // so far in this process

  Json to_json() const;
  // Error: kDataLoss for what to_json did not write.
  static Result<LocalJournal> from_json(const Json& json, const std::string& origin);

 private:
  struct Taking {
    ApplyLocal apply;
    int64_t taken_at = -1;  // steps done; -1: not yet
  };
  void drop_steps();

  int64_t generation_ = -1, round_;
  uint64_t last_lease_ = 0;
  int64_t snapshot_round_ = 0, snapshot_step_ = 0;
  int64_t stable_ = 0, delivered_ = 0;     // steps
  std::deque<LocalTraining::Step> steps_;  // not delivered, or done since the stable state
  std::deque<SampleRange> samples_;        // not trained on in the stable state
  std::deque<Taking> takings_;             // not taken in the stable state
  int64_t num_changes_ = 0;
};

}  // namespace skarv::wan
