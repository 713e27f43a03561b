// The agent of an island: starts and watches its workers, is the keeper of its slabs, and speaks
// the outer protocol. One host, one agent, one island.
//
// Three parties meet here on one thread: the Director decides what the workers do next, the
// WorkerGroup carries it to them, the IslandService says what the protocol wants. The service's
// threads only put notes into an inbox.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/events.h"
#include "director.h"
#include "inputs.h"
#include "island_checkpoint.h"
#include "island_progress.h"
#include "net/transport.h"
#include "spec/ownership.h"
#include "spec/schedule.h"
#include "wan/island_service.h"
#include "worker_group.h"

namespace skarv {

struct AgentOptions {
  Job job;
  std::string island;
  std::filesystem::path folder;  // of this island on this host
  std::string data;              // token files, of this site
  std::string listen, advertise, coordinator;
  std::map<std::string, std::string> routes;
  std::shared_ptr<net::Transport> transport;
  net::Options net;
  bool trace = false;
  // Called once, with the address for the other islands that it got.
  std::function<void(const std::string& address)> on_listening = [](const std::string&) {};
};

class Agent {
 public:
  explicit Agent(AgentOptions options);
  ~Agent();

  // Until the run is over, was interrupted in order, or failed for good.
  Status run();

 private:
  Status prepare();
  Status open_workers();
  Result<Schedule> make_schedule() const;
  Status open_keeper();
  Status open_service();
  Status loop();
  void put(std::function<void()> note);  // from the service's threads
  void drain_inbox();
  void drain_notices();
  Status handle(const WorkerGroup::Event& event);
  Status bring_up(const handoff::Load& load);
  void place_outer_weights();
  std::filesystem::path journal_path() const { return options_.folder / "journal.json"; }
  Result<wan::IslandMachine::Restored> restored() const;
  Status recover();
  void keep_journal();
  void note_current_sides();
  int64_t applied_round() const;
  void note_step(const Director::StepFinished& finished);
  void consider_checkpoint();
  Status save_last(bool finished);
  void tell(bool last);

  const AgentOptions options_;
  FileHandle lock_;  // of the folder
  EventLog events_;
  const Island* island_ = nullptr;
  std::vector<DeviceInfo> devices_;  // by rank
  std::unique_ptr<SlabTable> table_;
  Ownership ownership_;
  std::unique_ptr<WorkerGroup> group_;
  std::unique_ptr<KeeperStore> keeper_;
  std::unique_ptr<Director> director_;
  std::unique_ptr<wan::IslandService> service_;

  std::mutex mutex_;
  std::deque<std::function<void()>> inbox_;
  bool reset_wanted_ = false;
  InnerState start_;                                    // what this agent began from
  std::optional<wan::LocalJournal> go_on_;              // how to go on from its local weights
  std::map<int, std::vector<float>> merger_residuals_;  // of an earlier one, by slab
  int64_t journal_kept_ = 0;  // changes of the journal that are in its file

  IslandProgress progress_;
  std::deque<double> step_seconds_, losses_;  // latest
  std::string said_;
  std::optional<Time> idle_since_, standing_since_, training_since_;
  Time told_{};
  double seconds_before_ = 0;
  int64_t sent_before_ = 0, received_before_ = 0;  // of earlier agents of this island

  std::thread saving_;
  std::string unsaved_;  // why the newest checkpoint could not be saved
  std::atomic<bool> saving_done_ = true;
  Status saved_;  // of the last save; read after joining
  int64_t saved_round_ = 0;
};

}  // namespace skarv
