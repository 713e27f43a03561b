// What the simulator's nodes consist of: disk, memory, process, trainer.
#pragma once

#include <deque>

#include "wan/payload_store.h"
#include "wan/round/simulator.h"

namespace skarv::wan {

struct Simulator::Island {
  // Disk.
  std::vector<LogEntry> log;
  MemoryPayloads payloads;
  // Memory that may outlive the process.
  std::vector<std::byte> region;
  struct Kept {  // of the trainer, at its newest snapshot
    std::vector<float> x;
    std::map<int, int64_t> base;
  };
  std::optional<Kept> kept;
  LocalJournal journal;
  std::map<int64_t, std::vector<float>> frozen;  // by round
  // The process.
  uint64_t life = 0;
  bool up = false;
  std::unique_ptr<KeeperStore> keeper;
  std::unique_ptr<MergerStore> merger;
  std::unique_ptr<KeeperWork> work;
  std::unique_ptr<IslandMachine> machine;
  Time worker_free{};
  // Trainer.
  std::vector<float> x;
  std::map<int, int64_t> base;  // fragment -> round that x stands on
  int64_t step = 0, limit = 0;
  bool computing = false, wants_lease = false;
  std::deque<SampleRange> lease;
  std::vector<TakeSnapshot> snapshots;
  std::vector<ApplyLocal> applies;
  int64_t answered = 0;  // token of the newest that was taken
  std::vector<float> gradient;
};

struct Simulator::Coordinator {
  uint64_t life = 0;
  bool up = false;
  std::unique_ptr<CoordinatorMachine> machine;
};

}  // namespace skarv::wan
