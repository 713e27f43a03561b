// Decides the next step order of an island's workers, one ahead of the step that runs: which
// samples, whether merged weights are taken before it, whether a snapshot is frozen after it. Takes
// what the outer protocol's machine asks for and what the workers answer; knows no sockets and no
// processes.
//
// When a worker dies, the island goes back to its last inner snapshot and runs the very same orders
// again, so that no sample is trained twice and every contribution stays what it was.
#pragma once

#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "handoff/messages.h"
#include "spec/lease.h"
#include "spec/run.h"
#include "wan/round/actions.h"
#include "wan/round/local_journal.h"

namespace skarv {

struct DirectorSettings {
  ExchangeMode mode = ExchangeMode::kLocal;
  int64_t total_steps = 0;  // more, if the last round needs it: rounds that were late come after
  int64_t last_round = 0;
  int64_t steps_per_round = 1;
  int64_t overlap_steps = 0;
  int64_t samples_per_step = 0;  // of this island
  int64_t tokens_per_step = 0;   // of these
  int num_workers = 1;
  // How long a boundary waits for the protocol when it is late; then the island trains on, unless
  // nothing may overlap. In time, every run takes snapshots and merged weights at the same steps.
  Duration patience = std::chrono::seconds(5);
};

class Director {
 public:
  explicit Director(const DirectorSettings& settings);

  // --- from the protocol
  void take_snapshot(const wan::TakeSnapshot& wanted);
  void apply_local(const wan::ApplyLocal& wanted);
  void set_limit(int64_t steps) { limit_ = steps; }
  void add_samples(const wan::LeaseGranted& lease);

  // --- from the workers
  void heard(int rank, const handoff::Message& message);

  // --- to the workers: nullopt while there is nothing to order; waiting_for() says why.
  std::optional<handoff::Step> next_order(Time now);
  std::optional<handoff::Apply> take_apply();  // gradient mode
  const std::string& waiting_for() const { return waiting_; }

  // --- to the protocol, in order
  struct SnapshotReady {
    int64_t round, step;  // steps done
  };
  struct LocalApplied {
    int64_t token;
  };
  // Workers went back to before the weights of this token: they are taken again, and until then
  // the keeper has to have both sides of their round.
  struct LocalUndone {
    int64_t token;
  };
  struct NeedSamples {
    uint64_t count;
  };
  // What the snapshot of this step, if it gets one, contributes: comes before it.
  struct SamplesTrained {
    int64_t steps_done, tokens;
    std::vector<SampleRange> samples;
  };
  struct StepFinished {
    int64_t steps_done;
    std::vector<handoff::StepDone> workers;  // by rank
  };
  // The local weights are to be replaced by the outer ones: bring_up(reset()).
  struct NeedReset {};
  using Notice = std::variant<SnapshotReady, LocalApplied, LocalUndone, NeedSamples, SamplesTrained,
                              StepFinished, NeedReset>;
  std::optional<Notice> take_notice();

  // --- state to go back to
  struct Stable {
    bool from_inner = false;
    int parity = 0;
    int64_t step = 0;  // steps done in it
  };
  const Stable& stable() const { return stable_; }
  // How to go on from there, if it is an inner state. To be kept where it outlives the process,
  // before an inner snapshot is ordered and before the protocol is told of anything.
  const wan::LocalJournal& journal() const { return journal_; }
  // Starts where an earlier agent left off: from the outer weights after so many steps, with the
  // keeper's newest round ...
  void start_from(int64_t step, int64_t applied);
  // ... or from the inner state of this parity.
  void start_from(int parity, wan::LocalJournal journal);
  // A worker was lost: the load that everybody needs; the orders since then come again.
  handoff::Load roll_back();
  // Outer weights replace the local ones; samples that are at hand are forgotten.
  handoff::Load reset();

  // All steps are done, and the last snapshot is with the protocol.
  bool finished() const { return trained() && done_ == next_ && !snapshot_; }
  int64_t steps_done() const { return done_; }
  // No order is under way, or the one that is waits for its round.
  bool idle() const { return next_ == done_ || (exact() && !snapshot_ && !apply_ordered_); }
  // While a checkpoint reads this parity, no inner snapshot overwrites it; -1: none.
  void protect(int parity) { protected_ = parity; }
  // The next order is the last one before a stop: it gets an inner snapshot.
  void stop_at_boundary() { stopping_ = true; }
  bool stopped() const { return stop_ordered_ && done_ == next_ && stable_.step == next_; }

 private:
  struct Snapshot {  // ordered, not complete yet
    wan::TakeSnapshot wanted;
    int64_t step = 0;  // steps done in it
    std::set<int> done_by;
  };
  bool trained() const {
    if (settings_.last_round > 0 && taken_round_ >= settings_.last_round) return true;
    return next_ >= settings_.total_steps && snapshot_round_ >= settings_.last_round;
  }
  bool exact() const { return settings_.mode == ExchangeMode::kGradient; }
  bool apply_is_due() const;
  // False once `patience` has passed since this boundary was first found blocked.
  bool may_wait(Time now, const std::string& why);
  bool takes_merged_weights(Time now, handoff::Step& order);
  bool takes_snapshot(Time now, handoff::Step& order, bool with_apply);
  bool take_samples(handoff::Step& order);
  void finish_step();
  void finish();
  void undo_applies();
  void count_samples(int64_t steps_done);
  void settle_snapshot();
  void settle_stable();
  void make_stable(const Stable& stable);

  const DirectorSettings settings_;
  int64_t limit_ = std::numeric_limits<int64_t>::max();
  int64_t next_ = 0, done_ = 0;  // steps ordered, steps finished by all

  wan::LocalJournal journal_;
  std::deque<SampleRange> samples_;
  uint64_t num_samples_ = 0;
  bool samples_asked_ = false;

  std::deque<handoff::Step> since_stable_;  // ordered since the stable state
  std::deque<handoff::Step> again_;         // of these, to be ordered once more
  Stable stable_, coming_;
  std::set<int> coming_by_;  // ranks that wrote it
  bool coming_whole_ = false;
  int protected_ = -1;

  std::optional<wan::TakeSnapshot> snapshot_wanted_;
  std::optional<Snapshot> snapshot_;
  int64_t snapshot_round_ = 0, snapshot_step_ = 0;  // newest ordered

  std::deque<wan::ApplyLocal> applies_;            // not ordered yet
  std::optional<wan::ApplyLocal> apply_ordered_;   // not answered by all yet
  std::optional<wan::ApplyLocal> apply_answered_;  // the newest that was
  std::set<int> applied_by_;
  int64_t taken_round_ = 0;  // newest round that an order took
  std::optional<handoff::Apply> exact_apply_;

  std::map<int64_t, std::vector<std::optional<handoff::StepDone>>> reports_;  // by step
  bool stopping_ = false, stop_ordered_ = false;

  std::deque<Notice> notices_;
  std::string waiting_;
  std::optional<Time> blocked_since_;
  int64_t outwaited_round_ = 0;  // for whose merged weights patience was over
};

}  // namespace skarv
