// The coordinator of a run as a service: the machine of round/, its ledger, its connections. It
// carries no tensor bytes and may be killed and started again at any moment.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/events.h"
#include "net/transport.h"
#include "wan/event_loop.h"
#include "wan/ledger.h"
#include "wan/round/coordinator_machine.h"
#include "wan/switchboard.h"

namespace skarv::wan {

struct CoordinatorOptions {
  Run run;
  View view;                     // of a new run; the ledger's wins
  int64_t last_round = 0;        // 0: without end
  std::filesystem::path folder;  // ledger.sqlite, status.json
  std::string listen;            // "0.0.0.0:7000"
  std::shared_ptr<net::Transport> transport;
  net::Options net;
};

// Owns its threads. start() once; then stop() or the destructor.
class Coordinator {
 public:
  Coordinator(CoordinatorOptions options, EventLog& events);
  ~Coordinator() { stop(); }

  // Opens the ledger, listens, collects promises. Errors: port, ledger (held by another
  // coordinator, damaged, of another run), settings whose times contradict each other.
  Status start();
  const std::string& address() const { return board_->address(); }
  bool finished() const { return finished_; }
  // Why it gave up; ok while it works.
  Status failure() const;
  Json status() const;  // newest, for people: view, round, awaited, committed, samples
  // A sentence for a person, when there is a new one.
  std::function<void(const std::string&)> on_say = [](const std::string&) {};
  void stop();

 private:
  void carry_out(const CoordinatorMachine::Actions& actions);
  void refresh();
  void fail(const Status& why);

  const CoordinatorOptions options_;
  EventLog& events_;
  std::unique_ptr<SlabTable> table_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<CoordinatorMachine> machine_;
  std::unique_ptr<Switchboard> board_;
  std::unique_ptr<EventLoop> loop_;
  std::atomic<bool> finished_ = false;
  mutable std::mutex mutex_;
  Status failure_;
  Json status_;
  Time written_{};
};

}  // namespace skarv::wan
