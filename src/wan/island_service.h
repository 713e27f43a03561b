// An island's side of the outer protocol as a service: the machine of round/, its log, its keeper
// and merger on a working thread, its connections. Whoever trains (the agent) gives it snapshots
// and is told when and how to change the local weights.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/events.h"
#include "net/transport.h"
#include "wan/event_loop.h"
#include "wan/island_log.h"
#include "wan/keeper_work.h"
#include "wan/payload_store.h"
#include "wan/switchboard.h"

namespace skarv::wan {

struct IslandOptions {
  std::string name;
  Run run;
  int64_t last_round = 0;
  std::filesystem::path folder;               // island.log, payloads/
  std::string listen;                         // for other islands
  std::string advertise;                      // where they reach it; empty: where it listens
  std::string coordinator;                    // address
  std::map<std::string, std::string> routes;  // peer -> address that replaces what it advertises
  std::shared_ptr<net::Transport> transport;
  net::Options net;
  int64_t step = 0;                                    // optimizer steps done
  std::optional<LocalState> local;                     // see IslandMachine::continues
  std::map<int, std::vector<float>> merger_residuals;  // by slab
};

// What the trainer is told. Called from the service's threads; they must return soon.
struct Trainer {
  std::function<void(const TakeSnapshot&)> take_snapshot;
  std::function<void(const ApplyLocal&)> apply_local;
  std::function<void(int64_t steps)> step_limit;
  std::function<void(const LeaseGranted&)> leased;
  std::function<void(const std::string&)> say;
  // Values of a slab in the snapshot made for `round`; valid until the round is over.
  KeeperWork::Snapshot snapshot;
};

struct IslandStatus {
  int64_t applied = 0, committed = 0, generation = 0;
  Digest chain, state_root;
  bool learner = false, finished = false;
  int64_t step = 0;                        // optimizer steps that it has heard of
  int64_t wan_sent = 0, wan_received = 0;  // bytes on the sockets
};

class IslandService {
 public:
  // The keeper outlives it and holds every slab, at least at version 0.
  IslandService(IslandOptions options, KeeperStore& keeper, const SlabTable& table, Trainer trainer,
                EventLog& events);
  ~IslandService() { stop(); }

  // Opens the log, listens and dials. Errors: port, log, settings.
  Status start();
  void stop();

  // --- from the trainer; from any thread, answered through Trainer.
  void step_done(int64_t steps, int64_t tokens, std::vector<SampleRange> samples);
  void snapshot_ready(int64_t round, int64_t step);
  void local_applied(int64_t token);
  void local_undone(int64_t token);
  void request_lease(uint64_t count);
  void checkpointed(int64_t round);

  IslandStatus status() const;
  Status failure() const;  // why it gave up; ok while it works
  // Residuals of the slabs merged here. REQUIRES: stopped.
  std::map<int, std::vector<float>> merger_residuals() const;
  const std::string& address() const { return board_->address(); }

 private:
  using Actions = IslandMachine::Actions;
  void with_machine(std::function<Actions(IslandMachine&, Time)> event);
  void carry_out(const Actions& actions);
  void fail(const Status& why);
  void refresh();
  void watch_progress();

  const IslandOptions options_;
  KeeperStore& keeper_;
  const SlabTable& table_;
  const Trainer trainer_;
  EventLog& events_;
  std::optional<IslandLog> log_;
  std::unique_ptr<PayloadStore> payloads_;
  std::unique_ptr<MergerStore> merger_;
  std::unique_ptr<KeeperWork> work_;
  std::unique_ptr<IslandMachine> machine_;
  std::unique_ptr<Switchboard> board_;
  std::unique_ptr<EventLoop> loop_, working_;
  std::map<std::string, int64_t> seen_bytes_;
  mutable std::mutex mutex_;
  IslandStatus status_;
  Status failure_;
};

}  // namespace skarv::wan
