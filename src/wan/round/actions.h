// What the machines ask their drivers to do. A list is carried out in its order, and a Persist has
// to be durable before anything after it happens: that is how "fsynced before the answer" is kept.
// A driver that cannot persist stops.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "wan/round/log_entry.h"
#include "wan/round/message.h"
#include "wan/round/work.h"

namespace skarv::wan {

inline const std::string kCoordinatorName = "coordinator";

// May be lost on the way; the machines repair that.
struct Send {
  std::string to;
  Message message;
};
// For the event log.
struct Note {
  std::string what;
  Json fields;
};
// For a person, once per state of affairs.
struct Say {
  std::string text;
};
// The machine has stopped for good: a person is needed.
struct Halt {
  Status why;
};

// --- coordinator

struct CommittedRound {
  Record record;
  Digest chain;
};
// One transaction, under the condition that the store's epoch is still `epoch` (or, with
// raise_epoch, one less).
struct PersistCoordinator {
  int64_t epoch = 0;
  bool raise_epoch = false;
  std::optional<View> view;
  std::optional<CommittedRound> committed;
  std::optional<std::pair<int64_t, Digest>> settled;  // round and its state root
  std::optional<Json> leases;
};
// COMMIT of a round that lies in the ledger. `fence` has the current term.
struct SendCommitted {
  std::string to;
  Fence fence;
  int64_t retain_from = 0;
};
using CoordinatorAction = std::variant<Send, Note, Say, Halt, PersistCoordinator, SendCommitted>;

// --- island

struct PersistIsland {
  LogEntry entry;
};
struct Work {
  Job job;
};
// At the first boundary between optimizer steps with at least this many done, and never before an
// ApplyLocal that came earlier, freeze the fragment; then snapshot_ready(round, step).
struct TakeSnapshot {
  int64_t round = 0;
  int fragment = 0;
  int64_t not_before_step = 0;
};
enum class LocalVerdict {
  kIncluded,  // x = alpha x + (1 - alpha) w
  kExcluded,  // x = x + (w - w_base); w_base is the keeper's previous side
  kReset,     // x = w
};
// At the first boundary with at least this many steps done, change the local weights of the
// fragment (-1: of all); then local_applied(token). kReset of all also throws away leases.
struct ApplyLocal {
  int64_t token = 0;
  int64_t round = 0;
  int fragment = 0;
  LocalVerdict verdict = LocalVerdict::kIncluded;
  float alpha = 0;
  int64_t not_before_step = 0;
};
// Workers may run until this many steps are done, then wait.
struct StepLimit {
  int64_t steps = 0;
};
struct LeaseGranted {
  int64_t generation = 0;
  uint64_t id = 0;
  std::vector<SampleRange> ranges;
};
// Where the other islands are, newly learnt.
struct PeerAddress {
  std::string island, address;
};
using IslandAction = std::variant<Send, Note, Say, Halt, PersistIsland, Work, TakeSnapshot,
                                  ApplyLocal, StepLimit, LeaseGranted, PeerAddress>;

}  // namespace skarv::wan
