// Runs a whole job on this machine: the coordinator, one agent an island, and where the WAN is
// emulated one relay a link. Starts again what dies; ends everything in order.
//
// Every island has a folder of its own with its own copy of the data, its own key and no other;
// processes of different islands share nothing but connections, which the relays carry where there
// are any.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/events.h"
#include "child.h"
#include "inputs.h"
#include "island_progress.h"

namespace skarv {

struct SupervisorOptions {
  Job job;
  std::filesystem::path folder;  // of the run
  std::filesystem::path data;    // copied to every island
  bool emulate_wan = false;      // links of the cluster file, by relays
  bool plain = false;            // no TLS (loopback only)
  bool trace = false;
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();

  // Prepares folders and certificates and starts everything. Error: what failed, where; then
  // nothing runs.
  Status start();
  // Watches for about half a second. Error: something failed for good; everything is ended then.
  Status watch();
  bool finished() const;  // every island has trained to the end
  // Islands stop at a boundary and save; then the rest ends. Returns the islands that did not stop
  // in order: what counts of them is their last checkpoint.
  std::vector<std::string> stop(Duration patience);

  // The newest reports of the islands, as far as there are any.
  std::vector<IslandProgress> reports() const;
  // Bytes that the relays carried, both directions together; -1 without relays.
  int64_t relayed_bytes() const;

 private:
  struct Process {
    std::string name;
    ChildOptions options;
    std::optional<Child> child;
    std::deque<Time> starts;  // of the last minute
    bool done = false;        // ended well, not to be started again
  };
  Status prepare_folders();
  Status start_relays();
  Status launch(Process& process);
  Status explain_end(Process& process, const std::string& how) const;
  std::filesystem::path island_folder(const std::string& island) const;
  Status secure(const std::string& name, const std::filesystem::path& home) const;
  std::vector<std::string> security_flags(const std::filesystem::path& home) const;
  void write_pids() const;

  SupervisorOptions options_;
  EventLog events_;
  std::string self_;
  std::string coordinator_address_;
  std::map<std::string, std::string> addresses_;  // island -> where its agent listens
  // (from, to) -> where `from` reaches `to` through a relay; to may be "coordinator".
  std::map<std::pair<std::string, std::string>, std::string> routes_;
  std::vector<std::unique_ptr<Process>> relays_, islands_;
  std::unique_ptr<Process> coordinator_;
};

}  // namespace skarv
