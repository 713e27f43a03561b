// One rank of an island, between the agent's orders and the executor: it holds the parameters and
// the optimizer of its slabs, and carries out Load and Step (handoff/messages.h). It knows no
// sockets of the agent; a host object stands for it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "handoff/memory.h"
#include "handoff/messages.h"
#include "train/membership.h"
#include "train/rank_backend.h"

namespace skarv::train {

// The agent as the trainer sees it.
class TrainerHost {
 public:
  virtual ~TrainerHost() = default;
  virtual Status report(const handoff::Message& message) = 0;
  // The answer to the exchange of `round` (gradient mode).
  virtual Result<handoff::ApplyOrder> await_apply(int64_t round) = 0;
};

// One thread, except abort().
class Trainer {
 public:
  // Builds stages, parameters (initialised from the run's seed) and optimizer. `memory` holds the
  // owned slabs. All arguments outlive it.
  static Result<std::unique_ptr<Trainer>> create(std::shared_ptr<const Assignment> assignment,
                                                 const Device& device, const SampleSource& samples,
                                                 const handoff::SharedMemory& memory,
                                                 Progress& progress, Duration detection_time);

  // Leaves the old incarnation first. kCancelled when `cancelled` turned true meanwhile.
  Status join(const handoff::Connect& connect, comm::Lobby& lobby,
              const std::atomic<bool>& cancelled);
  void leave();
  // From any thread: what waits for peers now, fails with `why`.
  void abort(const Status& why);

  // Errors of scope peer leave the trainer usable: join again, then load.
  Status load(const handoff::Load& load);
  Result<handoff::StepDone> run(const handoff::Step& step, TrainerHost& host);

  const Assignment& assignment() const { return *assignment_; }
  ParameterStore& parameters() { return store_; }
  SlabOptimizer& optimizer() { return optimizer_; }
  const std::vector<ActionRecord>& records() const { return records_; }  // of the last step

 private:
  Trainer(std::shared_ptr<const Assignment> assignment, const Device& device,
          const handoff::SharedMemory& memory, Progress& progress, Duration detection_time);
  Duration patience() const;
  Status gather(int fragment);
  Status apply(const handoff::ApplyOrder& order);
  Status exchange(const handoff::SnapshotOrder& order, int64_t step, TrainerHost& host);
  Status finish(const handoff::Step& step, TrainerHost& host);

  const std::shared_ptr<const Assignment> assignment_;
  const Device device_;
  const handoff::SharedMemory& memory_;
  Progress& progress_;
  const Duration detection_time_;
  ParameterStore store_;
  SlabOptimizer optimizer_;
  std::unique_ptr<RankBackend> backend_;

  std::mutex mutex_;  // of membership_.edges, which abort reads
  Membership membership_;
  std::vector<ActionRecord> records_;
  double longest_step_seconds_ = 0;
  int64_t num_steps_ = 0;
};

}  // namespace skarv::train
