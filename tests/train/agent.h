// The agent's side of the channels to the workers of one island, which run as threads here.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "handoff/channel.h"
#include "handoff/memory.h"
#include "island.h"
#include "net/transport.h"

namespace skarv::train {

class Agent {
 public:
  static constexpr double kDetectionSeconds = 5;

  explicit Agent(const IslandSpec& spec);
  ~Agent();

  int num_ranks() const { return static_cast<int>(seats_.size()); }
  handoff::SharedMemory& memory() { return memory_; }
  const SlabTable& table() const { return table_; }

  void start(int rank);  // a new worker; takes it up to Listening
  void kill(int rank);   // its agent is gone: it leaves at once, as a dead process would
  void connect(int64_t incarnation);  // all ranks, up to Ready
  void load(const handoff::Load& load);
  void send(int rank, const handoff::Message& message);
  // The next message of this kind; others (heartbeats) are dropped. Fails the test after 30 s.
  template <typename Kind>
  Kind await(int rank) {
    for (;;) {
      auto received = seats_[rank].channel->receive(deadline());
      if (!received.ok()) {
        ADD_FAILURE() << "rank " << rank << ": " << received.status();
        return {};
      }
      if (auto* found = std::get_if<Kind>(&received->message)) return *found;
      if (auto* failed = std::get_if<handoff::Failed>(&received->message)) {
        // A survivor's complaint about a group that is being replaced already.
        if (failed->peer_fault && failed->incarnation < incarnation_) continue;
        ADD_FAILURE() << "rank " << rank << ": " << failed->message;
        return {};
      }
    }
  }
  // Sends the step to all ranks; its samples follow from its number.
  std::vector<handoff::StepDone> step(handoff::Step step);
  handoff::Step with_samples(handoff::Step step) const;

 private:
  struct Seat {
    std::optional<handoff::Channel> channel;
    std::thread worker;
    std::string address;
  };
  static Time deadline() { return Clock::real().now() + std::chrono::seconds(30); }

  const IslandSpec spec_;
  const Plan plan_;
  const Schedule schedule_;
  const SlabTable table_;
  handoff::SharedMemory memory_;
  std::shared_ptr<net::Transport> transport_;
  std::shared_ptr<const SampleSource> samples_;
  std::string store_;
  std::vector<Seat> seats_;
  int64_t incarnation_ = 0;
};

}  // namespace skarv::train
