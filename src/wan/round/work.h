// The heavy work that an island's machine asks for: encoding, merging, applying, reading from the
// payload log. The driver runs the jobs strictly in the order asked (inline in the simulator, on
// one worker thread in the product) and hands each result back as an event. keeper_work.h executes
// them on the stores.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "net/buffer.h"
#include "wan/keeper_store.h"

namespace skarv::wan {

// At start and when fenced: own frozen contributions are dropped.
struct WithdrawJob {};
// The slab's values are taken from the snapshot that the driver was told to make.
struct FreezeJob {
  int slab = 0;
  int64_t round = 0, base = 0;
};
// Receiver's check of a contribution, then its facts.
struct MeasureJob {
  int slab = 0;
  int64_t round = 0;
  std::string island;
  Digest leaf;
  net::Buffer bytes;
};
struct MergeJob {
  int slab = 0;
  int64_t round = 0, attempt = 0;
  std::vector<net::Buffer> payloads;
  std::vector<float> weights;
};
// Receiver's check of a merged payload, then kept (and appended to the payload log).
struct HoldJob {
  int slab = 0;
  int64_t round = 0;
  Digest leaf;
  net::Buffer bytes;
  std::string from;
};
// Everything held for `record` is durable when this is done.
struct SealJob {
  int64_t round = 0;
  Digest record;
};
struct ApplyJob {
  ApplyOrder order;
};
// Of a learner: one slab is brought forward, or installed whole.
struct ReplayJob {
  int slab = 0;
  int64_t round = 0;
  OuterScalars scalars;
  Digest leaf;
  net::Buffer bytes;
  std::string from;
};
struct InstallJob {
  int slab = 0;
  int64_t version = 0;
  Digest leaf;
  net::Buffer bytes;  // w, m (and v)
  std::string from;
};
struct RootJob {};  // state root over all slabs
// For oneself and for peers: a payload of a committed or accepted round, leaves, a slab's state.
struct LoadJob {
  enum class What { kPayload, kLeaves, kState } what = What::kPayload;
  int slab = 0;
  int64_t round = 0;
  std::string requester;
};
// Payloads of rounds below are no longer wanted by anybody.
struct PruneJob {
  int64_t retain_from = 0;
};

using Job = std::variant<WithdrawJob, FreezeJob, MeasureJob, MergeJob, HoldJob, SealJob, ApplyJob,
                         ReplayJob, InstallJob, RootJob, LoadJob, PruneJob>;

// What came of a job; `status` says why it failed.
struct WorkDone {
  Job job;
  Status status;
  Digest leaf;          // Freeze, Merge, Load
  ValueFacts facts;     // Freeze, Measure, Merge
  net::Buffer bytes;    // Freeze, Merge, Load
  Digest state_root;    // Apply, Root
  int64_t version = 0;  // Load of a state
};

}  // namespace skarv::wan
