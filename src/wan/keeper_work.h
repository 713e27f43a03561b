// Carries out the jobs of an island's machine on its stores. One thread at a time, in the order the
// machine asked. Used inline by the simulator and on a worker thread by the product.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "wan/keeper_store.h"
#include "wan/merger_store.h"
#include "wan/payload_store.h"
#include "wan/round/work.h"

namespace skarv::wan {

class KeeperWork {
 public:
  // Values of a slab in the snapshot that the trainer made for `round` (in exact mode: the sum of
  // gradients); valid until the next call.
  using Snapshot = std::function<Result<std::span<const float>>(int64_t round, int slab)>;

  // All outlive this. `name` is the island's.
  KeeperWork(std::string name, KeeperStore& keeper, MergerStore& merger, PayloadStore& payloads,
             CodecKind upload, Snapshot snapshot);

  WorkDone run(const Job& job);

 private:
  void run(const WithdrawJob& job, WorkDone& done);
  void run(const FreezeJob& job, WorkDone& done);
  void run(const MeasureJob& job, WorkDone& done);
  void run(const MergeJob& job, WorkDone& done);
  void run(const HoldJob& job, WorkDone& done);
  void run(const SealJob& job, WorkDone& done);
  void run(const ApplyJob& job, WorkDone& done);
  void run(const ReplayJob& job, WorkDone& done);
  void run(const InstallJob& job, WorkDone& done);
  void run(const RootJob& job, WorkDone& done);
  void run(const LoadJob& job, WorkDone& done);
  void run(const PruneJob& job, WorkDone& done);

  Status load_leaves(int64_t round, WorkDone& done);
  Status load_state(int slab, WorkDone& done);
  Status install(const InstallJob& job);
  Digest root();

  const std::string name_;
  KeeperStore& keeper_;
  MergerStore& merger_;
  PayloadStore& payloads_;
  const Codec& upload_;
  const Snapshot snapshot_;
  std::vector<Digest> leaves_;  // of states; zero: to be computed
};

}  // namespace skarv::wan
