// Every message of the protocol (protocol.md, 4). A message is a fence and one of these structs;
// message_codec.h turns it into bytes and back. Islands go by name. Owners: plain values; bulk
// bytes are shared immutable buffers.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "net/buffer.h"
#include "wan/round/fence.h"
#include "wan/round/record.h"
#include "wan/round/view.h"

namespace skarv::wan {

// Raised when messages change so that older peers would misread them.
inline constexpr uint32_t kWireVersion = 1;

// --- meeting

// lead -> coordinator, first on every connection: may it take part?
struct Hello {
  uint32_t wire_version = kWireVersion;
  Digest run, slab_table, self_test;
  uint32_t upload_version = 0, download_version = 0, arithmetic_version = 0;
  std::string address;  // where the other islands reach it
};
// any -> any: it may not; final until somebody changes something.
struct Refused {
  std::string why;
};
// coordinator -> lead. The fence's term is what is to be promised.
struct Promise {
  View view;
};
struct Promised {
  int64_t committed = 0;  // last round it knows to be committed, and its chain
  Digest chain;
  std::optional<Record> accepted;  // highest ACCEPT beyond `committed`
  bool bytes_held = false;         // all merged slabs of `accepted` are here
  View newest_view;
  // Counts the local weights: raised whenever they were thrown away (restart without them, reset by
  // rule 8). What an older generation trained on and did not deliver is leased again.
  int64_t generation = 0;
};
// coordinator -> leads: where the islands are. Not part of the view's record: ports change.
struct Peers {
  std::vector<std::pair<std::string, std::string>> addresses;  // island, "" while unknown
};

// --- one round

struct Open {
  int fragment = 0;
  int64_t plan = 1;
  std::vector<std::string> mergers;  // islands that slabs are placed on in this attempt
};
struct Offer {
  bool declined = false;  // no contribution to this round (values not finite, weights just reset)
  Contribution contribution;
  int64_t base_version = 0;
  Digest base_chain, base_state_root;
};
struct Contrib {
  int slab = 0;
  int host = 0;  // of the keeper, within its island
  Digest leaf;
  net::Buffer bytes;
};
struct SlabFacts {
  int slab = 0;
  Digest leaf;
  double sum_of_squares = 0;
  bool finite = true;
};
// merger -> coordinator: these slabs of `island` are here and measured.
struct Have {
  std::string island;
  std::vector<SlabFacts> slabs;
};
struct Close {
  std::vector<RecordEntry> delivered;  // in merge order; rejected ones have no weight
  std::vector<std::string> mergers;
};
struct Merged {
  int slab = 0;
  int host = 0;
  Digest leaf;
  net::Buffer bytes;
};
// merger -> coordinator: the same slabs, without their bytes.
struct MergedFacts {
  std::vector<SlabFacts> slabs;
  Digest inputs;  // over the contributions' leaves, by slab and contributor
};
struct Accept {
  Record record;
  std::vector<Digest> leaves;  // of the fragment's slabs, ascending
};
struct Accepted {
  Digest record;
};
struct Commit {
  Record record;
  int64_t retain_from = 0;  // payloads below are wanted by nobody
};
struct Applied {
  Digest chain, state_root;
};

// --- order and repair

// any -> any: the message was not acted on.
struct Fenced {
  Term promised;               // the sender's
  bool state_differs = false;  // rule 14: the receiver's state is not what the others have
  std::string why;
};
enum class FetchKind : uint8_t { kContribution = 1, kPayload = 2, kLeaves = 3, kState = 4 };
const char* name_of(FetchKind kind);
struct Fetch {
  FetchKind kind = FetchKind::kPayload;
  int slab = 0;
  Digest digest;  // zero: whatever is there
};
struct Fetched {
  FetchKind kind = FetchKind::kPayload;
  int slab = 0;
  bool absent = false;
  Digest leaf;
  int64_t version = 0;  // kState: of the slab
  int64_t applied = 0;  // kState: every round up to this one is in it
  net::Buffer bytes;    // kState: w, m (and v), little-endian floats; kLeaves: 32 bytes a slab
};

// What an island is at; the coordinator sends again what it seems to lack.
struct IslandBeat {
  int64_t applied = 0;  // rounds, in the keeper
  Digest chain, state_root;
  int64_t generation = 0;
  int64_t life = 0;  // starts of its process: a new one has lost what it held for others
  bool learner = false;
  int64_t open_attempt = 0, closed_attempt = 0;  // of the fence's round; 0: none
  bool offered = false;
  Digest accepted;                        // record accepted for the fence's round; zero: none
  int64_t step = 0;                       // optimizer steps done
  int64_t checkpoint = 0;                 // round of its newest outer checkpoint
  std::vector<std::string> missing_from;  // islands whose bytes it waits for without progress
};
// What the coordinator is at, and what it waits for from this island.
enum Awaits : uint32_t {
  kAwaitsOffer = 1,
  kAwaitsHave = 2,
  kAwaitsMerged = 4,
  kAwaitsAccepted = 8,
  kAwaitsApplied = 16
};
struct CoordinatorBeat {
  int64_t committed = 0;
  Digest chain;
  int64_t settled = 0;  // newest round whose state root is known, and that root
  Digest state_root;
  uint32_t awaits = 0;
  std::vector<std::string> awaited;  // whom the round waits for, for people
  // Islands whose slabs, as the mergers have them, are not what they offered: fetch them again.
  std::vector<std::string> doubtful;
};

// --- data

struct LeaseRequest {
  uint64_t id = 0;  // the same request may come twice
  int64_t generation = 0;
  uint64_t count = 0;
};
struct Lease {
  uint64_t id = 0;
  int64_t generation = 0;
  std::vector<SampleRange> ranges;
};

using Body = std::variant<Hello, Refused, Promise, Promised, Peers, Open, Offer, Contrib, Have,
                          Close, Merged, MergedFacts, Accept, Accepted, Commit, Applied, Fenced,
                          Fetch, Fetched, IslandBeat, CoordinatorBeat, LeaseRequest, Lease>;

struct Message {
  Fence fence;
  Body body;
};

const char* name_of(const Body& body);  // "OFFER"

}  // namespace skarv::wan
