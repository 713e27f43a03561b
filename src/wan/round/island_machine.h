// An island's lead, keeper and merger as one state machine without input and output: events in,
// actions out. Not thread-safe; the driver calls it from one thread, gives it the time with every
// event, runs its jobs in the order asked, and carries out the actions in order.
//
// After each event it looks at all it knows and does whatever has become possible, so that the
// order in which messages arrive does not matter.
//
// Keeper state survives a crash in memory or on disk. Local weights do if their trainer kept a
// journal (LocalState); else workers begin from the outer weights, and what was trained but not
// delivered is leased again.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "spec/run.h"
#include "spec/slab.h"
#include "wan/round/actions.h"
#include "wan/round/fetcher.h"
#include "wan/round/handshake.h"
#include "wan/round/local_training.h"
#include "wan/round/merger_desk.h"
#include "wan/round/timers.h"

namespace skarv::wan {

// What a trainer that outlived its machine, or can go back to an earlier state of itself, knows:
// whoever has it goes on with these local weights instead of starting from the outer ones.
struct LocalState {
  int64_t generation = 0;
  int64_t round = 0;        // the newest whose ApplyLocal it has, taken or about to be
  int64_t step = 0;         // optimizer steps done in the state that it goes on from
  uint64_t last_lease = 0;  // id of the newest lease that it has
  int64_t snapshot_round = 0, snapshot_step = 0;  // newest snapshot; its values are still there
  bool busy = false;  // the ApplyLocal of `round` is still to be taken; it has token 0
  std::deque<LocalTraining::Step> undelivered;  // also of steps that will come again
};

class IslandMachine {
 public:
  struct Settings {
    std::string name;     // of the island, as in the view
    std::string address;  // where other islands reach this one
    Run run;
    Timers timers;
    Handshake handshake;
    int64_t max_ahead_steps = 0;  // past a due snapshot without a commit; 0: one round
    int64_t last_round = 0;       // 0: rounds go on without end
  };
  // From the log and the keeper.
  struct Restored {
    Term promised;
    std::optional<View> view;
    int64_t generation = 0;
    int64_t num_lives = 0;             // starts of this machine so far
    int64_t committed = 0;             // newest COMMIT in the log
    std::map<int64_t, Digest> chains;  // by round, as far as the log goes back
    std::optional<Record> accepted;    // newest ACCEPT beyond `committed`
    std::vector<int64_t> versions;     // of every slab, as the keeper has it
    int64_t step = 0;                  // optimizer steps done
    std::optional<LocalState> local;   // the trainer has these weights; see continues()
  };
  using Actions = std::vector<IslandAction>;

  // True: the weights are of the generation that the others know, and the trainer has every round
  // that the keeper has, or all but the last, whose record is in the log.
  static bool continues(const LocalState& local, const Restored& restored);

  // `table` outlives the machine.
  IslandMachine(const SlabTable& table, Settings settings, Restored restored);

  Actions start(Time now);
  Actions received(Time now, const std::string& from, const Message& message);
  // A connection to this peer is up (again).
  Actions connected(Time now, const std::string& peer);
  // Payload bytes of this peer are arriving.
  Actions progress(Time now, const std::string& peer);
  Actions tick(Time now);  // every timers.beat
  Actions work_done(Time now, const WorkDone& done);

  // --- from the trainer
  Actions step_done(Time now, int64_t step, int64_t tokens,
                    const std::vector<SampleRange>& samples);
  // In gradient mode a trainer need not be asked: its gradients may be there before the round is
  // open, and are taken when it opens.
  Actions snapshot_ready(Time now, int64_t round, int64_t step);
  Actions local_applied(Time now, int64_t token);
  // The workers went back to before this ApplyLocal: it is taken again, and answered again. Where
  // a newer round was applied meanwhile they start from the outer weights.
  Actions local_undone(Time now, int64_t token);
  Actions request_lease(Time now, uint64_t count);
  Actions checkpointed(Time now, int64_t round);

  const std::string& name() const { return settings_.name; }
  int64_t applied() const { return applied_; }
  int64_t committed() const { return committed_; }
  const std::optional<Digest>& chain() const { return chain_; }
  const Digest& state_root() const { return state_root_; }
  bool learner() const { return learner_; }
  bool halted() const { return halted_; }
  int64_t generation() const { return generation_; }
  int64_t step() const { return training_.step(); }
  // Nothing more will change: the last round is applied, also locally.
  bool finished() const;

 private:
  template <typename M>
  struct Latest {
    Fence fence;
    M message;
  };
  struct Bytes {
    Digest leaf;
    net::Buffer bytes;
    std::string from;
  };
  // One slab of the own contribution.
  struct Frozen {
    Digest leaf;
    net::Buffer bytes;
    std::string pushed_to;  // the merger; empty while no round was open to be pushed in
  };
  // A record on its way into the keeper: by ACCEPT, by COMMIT, or first one and then the other.
  struct Intake {
    Record record;
    Digest digest;
    std::vector<int> slabs;
    std::vector<Digest> leaves;  // empty: to be fetched
    std::set<int> asked, held;
    bool asked_own_log = false;
    bool seal_asked = false, sealed = false, accept_logged = false;
    bool committed = false, applying = false;
  };

  // island_machine.cc
  void on(const std::string& from, const Fence& fence, const Refused& refused);
  void on(const std::string& from, const Fence& fence, const Promise& promise);
  void on(const std::string& from, const Fence& fence, const Peers& peers);
  void on(const std::string& from, const Fence& fence, const Fenced& fenced);
  void on(const std::string& from, const Fence& fence, const CoordinatorBeat& beat);
  void on(const std::string& from, const Fence& fence, const Lease& lease);
  void on(const std::string& from, const Fence& fence, const Fetch& fetch);
  void on(const std::string& from, const Fence& fence, const Fetched& fetched);
  // island_round.cc
  void on(const std::string& from, const Fence& fence, const Open& open);
  void on(const std::string& from, const Fence& fence, const Contrib& contrib);
  void on(const std::string& from, const Fence& fence, const Close& close);
  // island_intake.cc
  void on(const std::string& from, const Fence& fence, const Merged& merged);
  void on(const std::string& from, const Fence& fence, const Accept& accept);
  void on(const std::string& from, const Fence& fence, const Commit& commit);
  template <typename Other>
  void on(const std::string&, const Fence&, const Other&) {}

  Actions take();
  void send(const std::string& to, int64_t round, int64_t attempt, Body body);
  void say(const std::string& key, const std::string& text);
  void halt(Status why);
  void work(Job job);
  void persist_promise();
  void send_beat();
  void advance();
  std::vector<std::string> others() const;
  std::vector<std::string> others_first(const std::string& first) const;
  bool from_coordinator(const std::string& from) const { return from == kCoordinatorName; }

  // island_round.cc
  bool round_is_open() const;
  int64_t current() const { return applied_ + 1; }
  const std::vector<int>& my_slabs(const std::vector<std::string>& mergers);
  void drop_older_attempt(const Fence& opened);
  void consider_snapshot();
  void take_snapshot(int64_t round, int64_t step);
  void freeze(int64_t round, int64_t step);
  void push_contribution(int slab);
  void push_again(const std::string& peer);
  void frozen(const WorkDone& done, const FreezeJob& job);
  void decline(const Status& why);
  void send_offer();
  void consider_merging();
  void want_contributions();
  void send_have(const std::string& island);
  void send_merged_facts();
  void add_contribution(int64_t round, const std::string& island, int slab, const Digest& leaf,
                        const net::Buffer& bytes);
  void measured(const WorkDone& done, const MeasureJob& job);
  void merged(const WorkDone& done, const MergeJob& job);

  // island_intake.cc
  void consider_intake();
  void start_intake(const Record& record, std::vector<Digest> leaves, bool committed);
  void feed_intake();
  void feed_replay();
  void send_accepted();
  void apply();
  void held(const WorkDone& done, const HoldJob& job);
  void applied(const WorkDone& done, const ApplyJob& job);
  void loaded(const WorkDone& done, const LoadJob& job);
  void leaves_known(std::vector<Digest> leaves);
  void add_merged(int64_t round, int slab, Bytes bytes);
  const Bytes* find_merged(int64_t round, int slab, const Digest& leaf) const;
  void drop_merged(int64_t round, int slab, const Digest& leaf);
  void finish_round(const Record& record);
  // The record's part for the local weights: `live` when it holds what they delivered.
  void take_up(const Record& record, bool live);
  void go_on();
  void apply_locally(const Record& record, LocalVerdict verdict);
  void reset_local(const std::string& why);
  void nobody_has(const Fetcher::Key& key);
  bool own_entry_is_live(const RecordEntry& entry) const;
  bool exact() const { return settings_.run.exchange.mode == ExchangeMode::kGradient; }

  // learner (island_learner.cc)
  void start_learning(const std::string& why);
  void consider_learning();
  void state_fetched(const std::string& from, const Fetched& fetched);
  void installed(const WorkDone& done, const InstallJob& job);
  void replayed(const WorkDone& done, const ReplayJob& job);
  void rooted(const WorkDone& done);

  const SlabTable& table_;
  const Settings settings_;
  View view_;
  Term promised_;
  int64_t generation_;
  const int64_t life_;
  std::optional<LocalState> local_;  // to go on with, until the start

  // Outer state.
  int64_t committed_;  // by the log, and its chain
  Digest committed_chain_;
  int64_t applied_ = 0;
  std::optional<Digest> chain_;  // of applied_; unknown after a state was fetched
  Digest state_root_;
  bool rooted_ = false;  // state_root_ belongs to applied_
  std::vector<int64_t> versions_;
  std::optional<Record> accepted_;

  // The coordinator's newest words, each for the round and attempt in its fence.
  std::optional<Latest<Open>> open_;
  std::optional<Latest<Close>> close_;
  std::optional<Latest<Accept>> accept_;
  std::map<int64_t, Record> commits_;
  std::optional<CoordinatorBeat> beat_;
  Time coordinator_heard_{};
  int64_t known_committed_ = 0;

  // Own contribution to round current().
  int64_t snapshot_asked_ = 0, frozen_round_ = 0, snapshot_step_ = 0;
  std::optional<std::pair<int64_t, int64_t>> early_snapshot_;  // round not open yet, step
  std::map<int, Frozen> frozen_;
  std::optional<Offer> offer_;

  // Slabs that this island merges, for one round and one set of mergers.
  int64_t placed_round_ = -1;
  std::vector<std::string> placed_mergers_;
  std::vector<int> placed_slabs_;

  MergerDesk merger_;
  Fetcher fetcher_;
  std::map<int64_t, std::map<int, std::vector<Bytes>>> merged_bytes_;  // by round and slab
  std::optional<Intake> intake_;

  // Learner.
  bool learner_ = false;
  bool state_complete_ = false;     // all slabs are there, perhaps at different rounds
  int64_t mixed_until_ = 0;         // from here on all slabs are at one round
  std::map<int, int64_t> learned_;  // slab -> rounds up to this one are in it
  std::map<int, int64_t> donor_applied_;
  bool root_asked_ = false;
  Time taught_{};  // when bytes that it asked for last came

  // Local weights.
  LocalTraining training_;
  int64_t local_token_ = 0;
  bool local_busy_ = false;
  bool local_void_ = false;  // busy with a reset: what the trainer tells is of the old weights
  bool reset_pending_ = false, residual_reset_pending_ = false;
  int64_t step_limit_sent_ = -1;
  std::optional<LeaseRequest> lease_wanted_;
  uint64_t last_lease_id_ = 0;
  int64_t checkpoint_ = 0, pruned_ = 0, retain_from_ = 0;

  std::map<std::string, std::string> addresses_;
  std::map<std::string, std::pair<std::string, Time>> said_;
  Time now_{};
  Actions actions_;
  bool halted_ = false;
};

}  // namespace skarv::wan
