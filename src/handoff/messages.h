// What an agent and a worker say to each other, over handoff/channel.h. One agent orders, a worker
// answers; tensors travel through the shared memory of handoff/memory.h, never in messages.
//
//   worker                          agent
//   Hello            ->
//                    <-  Assign  (+ memory fd)
//   Listening        ->
//                    <-  Connect         all ranks of the island listen
//   Ready            ->
//                    <-  Load            masters and moments from the memory
//   Loaded           ->
//                    <-  Step ...        one ahead of the step that runs
//   StepDone ...     ->                  SnapshotDone, Applied in between; Heartbeat at any time
//                    <-  Apply           gradient mode only: the answer to a step's exchange
//                    <-  Stop            or end of file: leave
//   Failed           ->                  last words
// After a worker of the island died: the survivors get Connect with a higher incarnation, abort the
// step, reconnect and answer Ready; then Load and Step go on from an earlier step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace skarv::handoff {

inline constexpr int kVersion = 1;

// Sample counters [first, second).
using SampleRanges = std::vector<std::pair<uint64_t, uint64_t>>;

struct Hello {
  int version = kVersion;
  std::string device;   // "site/host/index"
  std::string session;  // that its agent started it in; a stranger's worker is sent away
  int64_t pid = 0;
  std::string torch;  // version
};

// Everything a worker needs to know; specs as the JSON of src/spec.
struct Assign {
  Json run, plan, profile, schedule;
  std::string island;
  int rank = 0;
  std::string chip, maker, plugin;
  int ordinal = 0;  // of the device among those of its maker or plug-in on this host
  double pace = 0;  // share of a core; 0: full speed
  int num_threads = 1;
  double detection_seconds = 5;  // longest wait for a peer without a sign of life
  std::string trace;             // folder for the trace of a step, or empty
};

struct Listening {
  std::string address;  // "127.0.0.1:40123", for edges and reduce groups of src/net
};

struct Connect {
  int64_t incarnation = 0;             // of the island's group of workers; only grows
  std::vector<std::string> addresses;  // by rank
  std::vector<std::string> makers;     // by rank: collectives stay within one
  std::string store;                   // folder for the rendezvous of c10d groups
};

struct Ready {
  int64_t incarnation = 0;
  int64_t base_bytes = 0;  // of the process before the model
};

// x, exp_avg, exp_avg_sq of the owned slabs: from inner snapshot `parity`, or x = w of the current
// outer version and zero moments. Owners then send weights to all replicas.
struct Load {
  bool from_inner = false;
  int parity = 0;
  int moments_parity = -1;  // not from_inner: moments of this inner snapshot after all
  int64_t step = 0;         // the next step to run
};
struct Loaded {
  int64_t step = 0;
};

// Rule 8: how the island takes merged weights.
enum class Verdict { kIncluded, kExcluded, kReset };

// New weights are SharedMemory::w_now, the base that the worker started from w_before.
struct ApplyOrder {
  int64_t round = 0;
  int fragment = 0;  // -1: all, with kReset only
  Verdict verdict = Verdict::kIncluded;
  double alpha = 0;
};

struct SnapshotOrder {
  int64_t round = 0;
  int fragment = 0;
};

struct Step {
  int64_t step = 0;
  SampleRanges samples;                   // of the island, in order; pipelines take theirs by share
  std::optional<ApplyOrder> apply;        // before the step
  std::optional<SnapshotOrder> snapshot;  // local mode: x of the fragment's slabs, after the step
  int inner_snapshot = -1;                // parity to write x and moments to, after the step
  std::optional<SnapshotOrder>
      exchange;  // gradient mode: gradients to `snapshot`, then await Apply
};

struct Apply {
  ApplyOrder order;
};

struct StepDone {
  int64_t step = 0;
  double loss_sum = 0;      // nats over `tokens`; 0 on ranks without a head
  int64_t tokens = 0;       // of which the loss is
  int64_t work_tokens = 0;  // that passed through this device
  double gradient_norm = 0;
  bool skipped = false;      // not finite: no update
  double seconds = 0;        // wall time of the step
  double busy_seconds = 0;   // computing (paced time counts)
  double wait_seconds = 0;   // for peers
  int64_t missed_slots = 0;  // pacing
  int64_t bytes_sent = 0;    // to peers of the island
  int64_t peak_bytes = 0;
};

struct SnapshotDone {
  int64_t round = 0;
  int64_t step = 0;
  double squared_norm = 0;  // of x - w (local) or of the gradient; information
};
struct InnerSnapshotDone {
  int64_t step = 0;
  int parity = 0;
};
struct Applied {
  int64_t round = 0;
  int64_t step = 0;
};
struct Heartbeat {
  int64_t progress = 0;  // actions done; stands still while the worker waits
  std::string doing;     // "receive activation of microbatch 5 from north/a/0"
};
struct Failed {
  std::string message;
  int64_t incarnation = 0;  // under which it happened
  bool peer_fault = false;  // a peer vanished; this worker itself can go on with a new Connect
};
struct Stop {};

using Message =
    std::variant<Hello, Assign, Listening, Connect, Ready, Load, Loaded, Step, Apply, StepDone,
                 SnapshotDone, InnerSnapshotDone, Applied, Heartbeat, Failed, Stop>;

const char* name_of(const Message& message);
Json to_json(const Message& message);
// Error: kInvalidArgument naming the field; unknown kinds and versions are refused.
Result<Message> message_from_json(const Json& json);

}  // namespace skarv::handoff
