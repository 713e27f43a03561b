// A run of several islands and a coordinator in virtual time, from one seed: the product's
// machines, stores, codecs and arithmetic; network, disks, clocks and trainers are played. Faults
// come from the seed or from the test. Every step checks the invariants of protocol.md, 6.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "wan/keeper_work.h"
#include "wan/round/coordinator_machine.h"
#include "wan/round/island_machine.h"
#include "wan/round/local_journal.h"
#include "wan/round/message_codec.h"

namespace skarv::wan {

struct SimOptions {
  uint64_t seed = 1;
  int num_islands = 3;
  int num_fragments = 1;
  int64_t rounds = 4;
  ExchangeSettings exchange;
  OptimizerSettings optimizer;
  double step_seconds = 0.05;
  std::map<int, double> slow;  // island -> factor
  double loss = 0, duplicates = 0;
  double delay_seconds = 0.01, jitter_seconds = 0.01;
  double crash_rate = 0;       // of every node, per second, until faults_end
  double crash_at_action = 0;  // chance to die before any single action, until faults_end
  double keep_memory = 0.5;    // chance that keeper memory survives a crash
  bool keep_local = false;     // local weights and their journal survive with it
  double cut_rate = 0;         // links that go dead for a while, per second
  double flip_rate = 0;        // chance that a payload message has one bit flipped
  double nan_rate = 0;         // chance per step that local weights become NaN
  double faults_end_seconds = 20;
  double limit_seconds = 400;
  bool samples = true;  // lease samples
};

// Five rounds without faults of islands a, b, c...: heartbeats every 0.1 s, grace 0.5 s, budget 5
// s, a period of 0.2 s.
SimOptions quick(int num_islands = 3);

class Simulator {
 public:
  explicit Simulator(SimOptions options);
  ~Simulator();

  // Until all islands have finished, or the limit. Empty: all went well; else what is wrong.
  std::string run();
  // Until `done` says so, or `seconds` of virtual time have passed. False: it did not.
  bool run_until(const std::function<bool()>& done, double seconds);

  // --- faults and facts for tests
  void crash_island(int island, bool keep_memory, double down_seconds);
  void crash_coordinator(double down_seconds);
  void cut(const std::string& a, const std::string& b, double seconds);
  // The workers of an island are lost after they took merged weights, and take them again so much
  // later.
  void lose_workers(int island, double seconds);
  // Called for each message before it is sent; it may change it; false: lost.
  std::function<bool(const std::string& from, const std::string& to, Message&)> on_send;
  // Called after each job; it may change what came of it.
  std::function<void(int island, KeeperStore&, WorkDone&)> on_work;
  void deliver(const std::string& from, const std::string& to, const Message& message);

  const std::vector<CommittedRound>& ledger() const { return ledger_; }
  const std::map<int64_t, Digest>& state_roots() const { return settled_; }
  const std::vector<std::string>& sayings() const { return sayings_; }
  bool said(const std::string& part) const;
  bool was_reset(int island) const;  // its local weights have started again from the outer ones
  int64_t applied(int island) const;
  std::vector<float> outer_weights(int island) const;
  std::vector<float> local_weights(int island) const;
  std::vector<float> initial_weights() const;
  int64_t num_messages() const { return num_messages_; }
  int num_continued() const { return num_continued_; }  // starts with kept local weights
  int64_t steps_done(int island) const;
  double now_seconds() const { return to_seconds(now_.time_since_epoch()); }
  const SlabTable& table() const { return *table_; }
  const Run& run_settings() const { return run_; }
  const std::string& failure() const { return failure_; }
  std::string island_name(int island) const { return names_[island]; }
  const CoordinatorMachine* coordinator() const;
  const IslandMachine* island(int island) const;
  // What happened to local weights, in order.
  struct Moment {
    enum class What { kStep, kSnapshot, kApply, kStart } what = What::kStep;
    int island = 0;
    int64_t round = 0;
    int fragment = -1;
    LocalVerdict verdict = LocalVerdict::kReset;
    std::vector<uint64_t> samples;
  };
  const std::vector<Moment>& journal() const { return journal_; }
  // Gradient of the toy problem, a pure function: for reference computations.
  static float toy_gradient(float x, int64_t element, uint64_t sample);

 private:
  struct Island;
  struct Coordinator;
  struct Event {
    Time at;
    uint64_t order;
    std::function<void()> act;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  void after(double seconds, std::function<void()> act);
  double uniform();
  bool chance(double probability);
  bool faulty() const;
  void fail(const std::string& what);

  void start_island(int island);
  void stop_island(int island, bool keep_memory);
  void start_coordinator();
  void act(int island, std::vector<IslandAction> actions);
  void act_coordinator(std::vector<CoordinatorAction> actions);
  void transmit(const std::string& from, const Send& send);
  void arrive(const std::string& from, const std::string& to, const net::Message& bytes);
  void tick_island(int island, uint64_t life);
  void tick_coordinator(uint64_t life);
  void train(int island, uint64_t life);
  void boundary(int island);
  void freeze(int island, int64_t round, int fragment);
  void storm();

  void check_send(int island, const Message& message);
  void check_job(int island, const Job& job);
  void check_merge(int island, const MergeJob& job);
  void check_apply(int island, const ApplyOrder& order);
  void check_commit(const CommittedRound& row);
  void check_kept(const Record& record);
  void check_applied(int island);
  std::string check_end();

  const SimOptions options_;
  Run run_;
  std::unique_ptr<SlabTable> table_;
  Handshake handshake_;
  View view_;
  Timers timers_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Island>> islands_;
  std::unique_ptr<Coordinator> coordinator_;
  // The coordinator's disk.
  int64_t stored_epoch_ = 0;
  std::optional<View> stored_view_;
  std::vector<CommittedRound> ledger_;
  std::map<int64_t, Digest> settled_;
  std::optional<Json> leases_;

  std::priority_queue<Event, std::vector<Event>, Later> events_;
  std::map<std::pair<std::string, std::string>, Time> dead_until_;
  std::map<int64_t, Digest> applied_roots_;
  std::set<int> corrupted_;                // islands whose state root a test has changed
  std::map<Digest, int64_t> frozen_base_;  // by leaf of every contribution
  Time now_{};
  uint64_t order_ = 0;
  std::mt19937_64 random_;
  std::vector<std::string> sayings_;
  std::vector<Moment> journal_;
  std::string failure_;
  int64_t num_messages_ = 0;
  int num_continued_ = 0;
};

}  // namespace skarv::wan
