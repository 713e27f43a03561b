// The keeper's state of its slabs: outer weights w, momentum m (v in exact mode) twice, the
// residual e, the frozen contribution and the tentative merged payload. Every change of (w, m, v,
// e) becomes visible by one store of the fragment's stamp: all slabs or none, also when the process
// dies in between. One thread at a time; freeze, hold_merged and state_leaf of different slabs may
// run at once. No sockets, no files: the disk log is PayloadLog, the protocol is round/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "spec/slab.h"
#include "wan/arithmetic.h"
#include "wan/codec/residual.h"
#include "wan/keeper_memory.h"

namespace skarv {

// The round of the same fragment before `round`; 0 (genesis) for its first one. A slab's version
// has to be exactly this when `round` is applied.
int64_t previous_round(const SlabTable& table, int64_t round);

using OuterScalars = std::variant<arithmetic::NesterovScalars, arithmetic::AdamScalars>;

// What the committed record says about this island's contribution (rule 8).
enum class Delivery {
  kExcluded,  // or never offered: e is kept
  kIncluded,  // or clipped: e = e'
  kRejected,  // by the gate, or too far behind: e = 0
};

struct SlabOrder {
  int slab = 0;
  Digest merged;        // leaf of the committed payload
  Digest contribution;  // leaf that the record lists for this island; zero unless kIncluded
};

struct ApplyOrder {
  int64_t round = 0;
  OuterScalars scalars;
  Delivery delivery = Delivery::kExcluded;
  std::vector<SlabOrder> slabs;  // every slab of the fragment that is held here
};

struct Frozen {
  Digest leaf;
  ValueFacts facts;
};

struct SlabState {
  int64_t version = kNoVersion;
  std::span<const float> w, m, v;  // v empty unless exact
};

class KeeperStore {
 public:
  // The table outlives the store.
  KeeperStore(const SlabTable& table, KeeperMemory memory);

  const KeeperMemory& memory() const { return memory_; }
  const SlabTable& table() const { return table_; }
  const std::vector<int>& slabs() const { return memory_.settings().slabs; }
  bool holds(int slab) const { return index_.contains(slab); }
  std::vector<int> slabs_of_fragment(int fragment) const;  // held here

  // --- state. REQUIRES: holds(slab).
  int64_t version(int slab) const;     // kNoVersion: nothing is there yet
  SlabState state(int slab) const;     // current; valid until the fragment's next apply
  SlabState previous(int slab) const;  // the side before, version kNoVersion if none
  std::span<const float> residual(int slab) const;  // e; empty: zero
  // Digest of (slab, version, w, m, v), read from memory now. kNoVersion gives the zero digest.
  Digest state_leaf(int slab) const;
  // Genesis: version 0, moments zero.
  Status initialize(int slab, std::span<const float> w);
  // A fetched slab: checked against the donor's leaf, then current, with e = 0. Errors: kDataLoss
  // names the slab; kFailedPrecondition when the version is not newer than the present one.
  Status install(int slab, const SlabState& state, const Digest& leaf, const std::string& from);
  // Own residual of an installed slab, from a checkpoint. REQUIRES: holds(slab), a version.
  void restore_residual(int slab, std::span<const float> residual);
  // Forgets the slab (hand-over to another host, rollback).
  void clear(int slab);

  // --- own contribution
  // Encodes (w - snapshot + decay e), or in exact mode the gradient given as `values`, once; the
  // bytes stay as they are until withdraw or apply. `base` is the version that the worker started
  // from (I6). Errors: kInvalidArgument for values that are not finite (no offer);
  // kFailedPrecondition for another base, a wrong round, or a contribution already frozen.
  Result<Frozen> freeze(int slab, int64_t round, int64_t base, std::span<const float> values);
  // The bytes, checked against their leaf. Errors: kNotFound; kDataLoss names the slab.
  Result<std::span<const std::byte>> contribution(int slab, int64_t round) const;
  Digest contribution_leaf(int slab) const;  // zero: none
  void withdraw(int slab);  // fenced, or the round was committed without it and applied elsewhere

  // --- merged payload
  // Checks leaf and encoding, then keeps the bytes; those of an older attempt are replaced. Errors:
  // kDataLoss names slab and sender; the payload held before then stays.
  Status hold_merged(int slab, int64_t round, std::span<const std::byte> bytes, const Digest& leaf,
                     const std::string& from);
  bool has_merged(int slab, int64_t round, const Digest& leaf) const;
  Result<std::span<const std::byte>> merged(int slab, int64_t round) const;  // checked again
  Digest merged_leaf(int slab) const;                                        // zero: none

  // --- outer step
  // All slabs of the fragment that are held here, or none. Checks before it changes anything: the
  // list is complete, every version is the fragment's previous round (a skipped apply shows here),
  // every merged payload is held with the committed leaf and its bytes still match, the result is
  // finite. A round already applied is ok and does nothing.
  Status apply(const ApplyOrder& order);
  // Catch-up of a learner: one slab, payload from a donor or from the disk log; e = 0.
  Status replay(int slab, int64_t round, const OuterScalars& scalars,
                std::span<const std::byte> payload, const Digest& leaf, const std::string& from);

 private:
  const SlabMemory& at(int slab) const;
  std::string shown(int slab) const;
  SlabState state_of_side(const SlabMemory& memory, int side) const;
  int64_t applied(int slab) const;
  int current_side(const SlabMemory& memory) const;   // -1: none
  int residual_side(const SlabMemory& memory) const;  // -1: zero
  int spare_residual_side(const SlabMemory& memory) const;
  Status step(const SlabMemory& memory, const OuterScalars& scalars,
              std::span<const std::byte> payload);
  Status check_previous(const SlabMemory& memory, int64_t round) const;
  void prepare_residual(const SlabMemory& memory, const ApplyOrder& order, const SlabOrder& entry);
  void raise_applied(int slab, int64_t round);

  const SlabTable& table_;
  KeeperMemory memory_;
  const Codec& upload_;
  const Codec& download_;
  std::map<int, size_t> index_;  // slab -> position in memory_.slabs()
};

}  // namespace skarv
