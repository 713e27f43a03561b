// The coordinator as a state machine without input and output: events in, actions out. It carries
// no tensor bytes. Not thread-safe; the driver calls it from one thread, gives it the time with
// every event, and carries out the actions in order.
//
// Loss is repaired by state, not by acknowledgements: islands tell in every heartbeat what they are
// at, and get again what they seem to lack.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "spec/run.h"
#include "spec/slab.h"
#include "wan/round/actions.h"
#include "wan/round/coordinator_round.h"
#include "wan/round/handshake.h"
#include "wan/round/lease_desk.h"
#include "wan/round/timers.h"

namespace skarv::wan {

class CoordinatorMachine {
 public:
  struct Settings {
    Run run;
    Timers timers;
    Handshake handshake;
    View view;               // of a new run; a restored one wins
    int64_t last_round = 0;  // 0: rounds go on without end
  };
  // What the store holds; a new run has the defaults.
  struct Restored {
    int64_t epoch = 0;
    std::optional<View> view;
    int64_t committed = 0;
    Digest chain;  // of `committed`
    int64_t settled = -1;
    Digest state_root;  // of `settled`
    LeaseDesk leases;
  };
  using Actions = std::vector<CoordinatorAction>;

  // `table` outlives the machine.
  CoordinatorMachine(const SlabTable& table, Settings settings, Restored restored);

  Actions start(Time now);
  Actions received(Time now, const std::string& from, const Message& message);
  // Every timers.beat.
  Actions tick(Time now);

  int64_t epoch() const { return term_.epoch; }
  int64_t committed() const { return committed_; }
  bool halted() const { return halted_; }
  bool finished() const;  // last_round is committed and applied everywhere
  const LeaseBook& book() const { return desk_.book(); }
  // Islands that the present state waits for, for status and sentences.
  std::vector<std::string> awaited() const;
  Json status(Time now) const;

 private:
  enum class Phase { kPromises, kRunning };
  struct Member {
    bool greeted = false;   // said a valid HELLO on some connection
    bool promised = false;  // this term
    bool learner = false;
    Time heard{};
    std::string address;
    int64_t generation = 0, life = 0;
    int64_t applied = -1;  // and the root it reported for it
    Digest chain, state_root;
    IslandBeat beat;
    int num_excluded_in_row = 0;
  };

  void on(const std::string& from, const Fence& fence, const Hello& hello);
  void on(const std::string& from, const Fence& fence, const Promised& promised);
  void on(const std::string& from, const Fence& fence, const Offer& offer);
  void on(const std::string& from, const Fence& fence, const Have& have);
  void on(const std::string& from, const Fence& fence, const MergedFacts& facts);
  void on(const std::string& from, const Fence& fence, const Accepted& accepted);
  void on(const std::string& from, const Fence& fence, const Applied& applied);
  void on(const std::string& from, const Fence& fence, const IslandBeat& beat);
  void on(const std::string& from, const Fence& fence, const Fenced& fenced);
  void on(const std::string& from, const Fence& fence, const LeaseRequest& request);
  template <typename Other>
  void on(const std::string&, const Fence&, const Other&) {}

  Actions take();
  Fence fence(int64_t round, int64_t attempt) const;
  Fence fence() const;
  void send(const std::string& to, Body body);
  void send_peers();
  void say(const std::string& key, const std::string& text);
  void halt(Status why);

  bool alive(const Member& member) const;
  bool usable(const std::string& island) const;  // alive, promised, no learner
  std::vector<std::string> usable_islands() const;
  int num_alive() const;

  // Looks at everything and moves on as far as it can.
  void advance();
  void check_promises();
  void settle();
  void open_round();
  void start_attempt(const std::set<std::string>& without);
  void consider_closing();
  void consider_stall();
  void propose();
  void commit();
  OuterScalars scalars() const;
  void repair(const std::string& island);
  uint32_t awaits_from(const std::string& island) const;
  void note_generation(const std::string& island, int64_t generation);
  void note_life(const std::string& island, int64_t life);
  bool release_old_leases(const std::string& island);
  void persist_leases();
  int64_t retain_from() const;

  const SlabTable& table_;
  const Settings settings_;
  View view_;
  Term term_;
  Phase phase_ = Phase::kPromises;
  int64_t committed_ = 0;
  Digest chain_;
  int64_t settled_ = -1;
  Digest state_root_;
  LeaseDesk desk_;
  std::map<std::string, Member> members_;
  std::unique_ptr<CoordinatorRound> round_;
  Time now_{}, started_{};
  Time first_offer_{}, want_reached_{}, moved_{};  // of the round; Time{}: not yet
  std::set<std::string> slow_mergers_;
  std::map<std::string, std::pair<std::string, Time>> said_;
  Actions actions_;
  bool halted_ = false;
};

}  // namespace skarv::wan
