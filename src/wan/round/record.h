// Record(n): everything that a committed round was decided with (protocol.md, 3). One text form, so
// that its digest is the same on every machine; floats only as bit patterns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "spec/lease.h"
#include "wan/keeper_store.h"
#include "wan/merge.h"
#include "wan/round/fence.h"

namespace skarv::wan {

using skarv::digest_of;
using skarv::to_json;

// What an island offers to round n, and what the record repeats of it.
struct Contribution {
  std::string island;
  int64_t generation = 0;  // of its local weights; see Promised
  Digest root;             // Merkle root over the leaves of its slabs, ascending
  int64_t tokens = 0, steps = 0;
  std::vector<SampleRange> samples;  // trained on since its last delivered contribution
  bool operator==(const Contribution&) const = default;
};

struct RecordEntry {
  Contribution contribution;
  arithmetic::Bits weight = 0;
  Verdict verdict = Verdict::kIncluded;
  bool operator==(const RecordEntry&) const = default;
};

struct Record {
  int64_t round = 0;  // 0: genesis
  Term term;
  int64_t attempt = 0;
  int64_t plan = 1;
  int fragment = 0;
  std::vector<RecordEntry> delivered;  // by island, in the order of merging
  OuterScalars scalars;
  arithmetic::Bits alpha = 0;
  uint32_t upload_version = 0, download_version = 0, arithmetic_version = 0;
  Digest payload_root;     // over the leaves of the merged slabs, ascending
  Digest base_state_root;  // over the state leaves of all slabs before this round's apply
  Digest previous_chain;

  bool operator==(const Record&) const = default;
  const RecordEntry* find(const std::string& island) const;  // null: excluded
};

Json to_json(const Record& record);
Result<Record> record_from_json(const Json& json, const std::string& origin);
Digest digest_of(const Record& record);
// chain(n) = H(chain(n - 1), digest of record n); the record names chain(n - 1) itself.
Digest chain_after(const Record& record);

Json to_json(const RecordEntry& entry);
Result<RecordEntry> entry_from_json(const Json& json, const std::string& origin);
Json to_json(const Contribution& contribution);
Result<Contribution> contribution_from_json(const Json& json, const std::string& origin);
Json to_json(const std::vector<SampleRange>& ranges);
Result<std::vector<SampleRange>> ranges_from_json(const Json& json, const std::string& origin);

}  // namespace skarv::wan
