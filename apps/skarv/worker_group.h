// The workers of one island on this host: started, told what to do, heard, and brought back after a
// death. It speaks handoff with them and knows nothing of rounds; who drives it decides what the
// steps are.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/events.h"
#include "child.h"
#include "handoff/channel.h"
#include "handoff/memory.h"
#include "spec/slab.h"

namespace skarv {

struct WorkerGroupOptions {
  std::string program;                       // skarv-worker
  std::filesystem::path folder;              // logs; rendezvous of collective groups
  std::vector<std::string> devices;          // by rank
  std::vector<handoff::Assign> assignments;  // by rank
  Duration start_limit =
      std::chrono::seconds(120);  // a worker has to load libtorch and its plug-in
  Duration silence_limit = std::chrono::seconds(15);  // a worker without a heartbeat is lost
  // A worker that was silent so long is lost already when the group has to be brought up anew.
  Duration suspect_limit = std::chrono::seconds(5);
  int max_failed_starts = 3;  // in a row, then the island gives up
};

// One thread, but for wake().
class WorkerGroup {
 public:
  struct Spoke {  // a worker said something
    int rank;
    handoff::Message message;
  };
  struct Lost {  // a worker is gone, or cannot go on without its peers
    int rank;
    std::string why;
    bool may_heal = true;  // false: another start would end the same way
  };
  struct Woken {};  // wake() was called
  using Event = std::variant<Spoke, Lost, Woken>;

  // Listens, and waits a moment for workers that outlived an earlier agent of this folder: the
  // memory that they hold is in memory().
  static Result<std::unique_ptr<WorkerGroup>> open(WorkerGroupOptions options,
                                                   const SlabTable& table, EventLog& events);
  ~WorkerGroup();

  // Kept by surviving workers; empty when there were none. Set it before bring_up.
  std::optional<handoff::SharedMemory>& memory() { return memory_; }

  // Starts who is missing, connects all ranks under a new incarnation, and loads. Errors when it
  // cannot be done: with the last words of the worker that failed. Bad input of a worker (a plug-in
  // that is not there) is kConfig, at once.
  Status bring_up(const handoff::Load& load);

  void send(const handoff::Message& message);  // to every worker; a dead one is Lost next
  // Nothing came until the deadline: nullopt.
  Result<std::optional<Event>> next(Time deadline);
  void wake();  // from any thread
  void stop(Time deadline);

  int size() const { return static_cast<int>(members_.size()); }
  const std::string& device(int rank) const { return options_.devices[rank]; }
  std::vector<pid_t> pids() const;
  int64_t num_restarts() const { return num_restarts_; }

 private:
  struct Member {
    std::optional<Child> child;  // absent for one that an earlier agent started
    std::optional<handoff::Channel> channel;
    pid_t pid = -1;
    std::string address;  // where it listens; empty until it said so
    int64_t ready = -1;   // incarnation it is connected under
    bool loaded = false;
    Time heard{};
  };

  WorkerGroup(WorkerGroupOptions options, const SlabTable& table, EventLog& events,
              handoff::ChannelListener listener, FileHandle wake);
  void drop_suspects();
  Status start_missing();
  Status take_newcomer(Time deadline);
  void drop(int rank);
  Status status_of(const Lost& lost) const;
  Lost lost_by_exit(int rank);   // of a child that has ended
  Status gather(Time deadline);  // every member has a channel and listens

  Status write_registry() const;

  WorkerGroupOptions options_;
  std::string session_;  // kept over agents of one folder, so that each knows its own workers
  const SlabTable& table_;
  EventLog& events_;
  handoff::ChannelListener listener_;
  FileHandle wake_;
  std::optional<handoff::SharedMemory> memory_;
  std::vector<Member> members_;
  std::optional<Lost> pending_;
  int64_t incarnation_ = 0;
  int64_t broken_ = 0;  // newest incarnation that is known to have lost somebody
  int64_t num_restarts_ = 0;
};

}  // namespace skarv
