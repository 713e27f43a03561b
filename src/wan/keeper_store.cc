#include "wan/keeper_store.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"
#include "wan/merge.h"
#include "wan/payload.h"

namespace skarv {

namespace {

constexpr int64_t kPiece = 4096;  // a multiple of every codec's block

void put(std::atomic<int64_t>& plus_one, int64_t value) {
  plus_one.store(value + 1, std::memory_order_release);
}
int64_t get(const std::atomic<int64_t>& plus_one) {
  return plus_one.load(std::memory_order_acquire) - 1;
}

// The side with the highest version not above `limit`, or -1.
int newest_side(const std::array<std::atomic<int64_t>, 2>& versions_plus_one, int64_t limit) {
  int best = -1;
  int64_t best_version = kNoVersion;
  for (int side : {0, 1}) {
    const int64_t version = get(versions_plus_one[side]);
    if (version <= limit && version > best_version) {
      best = side;
      best_version = version;
    }
  }
  return best;
}

void clear_residual(const SlabMemory& memory) {
  for (auto& version : memory.stamp->residual_plus_one) put(version, kNoVersion);
}

Digest leaf_of_state(int slab, const SlabState& state) {
  return Hasher()
      .add_number(static_cast<int32_t>(slab))
      .add_number(state.version)
      .add(std::as_bytes(state.w))
      .add(std::as_bytes(state.m))
      .add(std::as_bytes(state.v))
      .finish();
}

Status wrong_moment(std::string message) {
  return Status(Code::kFailedPrecondition, Scope::kSite, std::move(message));
}

}  // namespace

int64_t previous_round(const SlabTable& table, int64_t round) {
  const int fragment = table.fragment_of_round(round);
  int64_t earlier = round - 1;
  while (earlier > 0 && table.fragment_of_round(earlier) != fragment) --earlier;
  return earlier;
}

KeeperStore::KeeperStore(const SlabTable& table, KeeperMemory memory)
    : table_(table),
      memory_(std::move(memory)),
      upload_(codec_of(memory_.settings().upload)),
      download_(codec_of(memory_.settings().download)) {
  for (size_t i = 0; i < memory_.slabs().size(); ++i) index_[memory_.slabs()[i].slab] = i;
}

const SlabMemory& KeeperStore::at(int slab) const { return memory_.slabs()[index_.at(slab)]; }

std::string KeeperStore::shown(int slab) const {
  return cat("slab ", slab, " (", table_.name_of(slab), ")");
}

std::vector<int> KeeperStore::slabs_of_fragment(int fragment) const {
  std::vector<int> found;
  for (const int slab : slabs()) {
    if (table_[slab].fragment == fragment) found.push_back(slab);
  }
  return found;
}

int64_t KeeperStore::applied(int slab) const {
  return get(memory_.fragments()[table_[slab].fragment].applied_plus_one);
}
void KeeperStore::raise_applied(int slab, int64_t round) {
  if (round > applied(slab)) {
    put(memory_.fragments()[table_[slab].fragment].applied_plus_one, round);
  }
}

int KeeperStore::current_side(const SlabMemory& memory) const {
  return newest_side(memory.stamp->version_plus_one, applied(memory.slab));
}
int KeeperStore::residual_side(const SlabMemory& memory) const {
  return newest_side(memory.stamp->residual_plus_one, applied(memory.slab));
}
int KeeperStore::spare_residual_side(const SlabMemory& memory) const {
  return residual_side(memory) == 0 ? 1 : 0;
}

// --- state

int64_t KeeperStore::version(int slab) const {
  const SlabMemory& memory = at(slab);
  const int side = current_side(memory);
  return side < 0 ? kNoVersion : get(memory.stamp->version_plus_one[side]);
}

SlabState KeeperStore::state_of_side(const SlabMemory& memory, int side) const {
  return {get(memory.stamp->version_plus_one[side]), memory.w[side], memory.m[side],
          memory.v[side]};
}

SlabState KeeperStore::state(int slab) const {
  const int side = current_side(at(slab));
  return side < 0 ? SlabState() : state_of_side(at(slab), side);
}

SlabState KeeperStore::previous(int slab) const {
  const int side = current_side(at(slab));
  if (side < 0) return SlabState();
  const SlabState other = state_of_side(at(slab), 1 - side);
  return other.version == kNoVersion || other.version > version(slab) ? SlabState() : other;
}

void KeeperStore::restore_residual(int slab, std::span<const float> residual) {
  const SlabMemory& memory = at(slab);
  if (memory.residual[0].size() != residual.size()) return;  // uploads are lossless
  std::ranges::copy(residual, memory.residual[0].begin());
  put(memory.stamp->residual_plus_one[0], version(slab));
}

std::span<const float> KeeperStore::residual(int slab) const {
  const int side = residual_side(at(slab));
  return side < 0 ? std::span<const float>() : at(slab).residual[side];
}

Digest KeeperStore::state_leaf(int slab) const {
  const SlabState now = state(slab);
  return now.version == kNoVersion ? Digest() : leaf_of_state(slab, now);
}

Status KeeperStore::initialize(int slab, std::span<const float> w) {
  const SlabMemory& memory = at(slab);
  if (version(slab) != kNoVersion) {
    return wrong_moment(cat(shown(slab), " already has version ", version(slab)));
  }
  if (w.size() != memory.w[0].size()) return bug(cat("initialize: wrong size of ", shown(slab)));
  std::ranges::copy(w, memory.w[0].begin());
  std::ranges::fill(memory.m[0], 0.0f);
  std::ranges::fill(memory.v[0], 0.0f);
  put(memory.stamp->version_plus_one[0], 0);
  raise_applied(slab, 0);
  return Status();
}

Status KeeperStore::install(int slab, const SlabState& state, const Digest& leaf,
                            const std::string& from) {
  const SlabMemory& memory = at(slab);
  const auto fault = [&](const std::string& cause) {
    return Status(Code::kDataLoss, Scope::kPeer, shown(slab) + " fetched from " + from + cause)
        .with_hint("it is fetched again, from another donor if there is one");
  };
  if (state.w.size() != memory.w[0].size() || state.m.size() != memory.m[0].size() ||
      state.v.size() != memory.v[0].size()) {
    return fault(" has the wrong size");
  }
  if (leaf_of_state(slab, state) != leaf) {
    return fault(" does not match its digest: its bytes were changed on the way or in memory");
  }
  if (!arithmetic::all_finite(state.w) || !arithmetic::all_finite(state.m) ||
      !arithmetic::all_finite(state.v)) {
    return fault(" has values that are not finite");
  }
  if (state.version < 0 || state.version <= version(slab)) {
    return wrong_moment(cat(shown(slab), " fetched from ", from, " has version ", state.version,
                            ", here it has ", version(slab)));
  }
  const int side = current_side(memory) == 0 ? 1 : 0;
  put(memory.stamp->version_plus_one[side], kNoVersion);
  std::ranges::copy(state.w, memory.w[side].begin());
  std::ranges::copy(state.m, memory.m[side].begin());
  std::ranges::copy(state.v, memory.v[side].begin());
  clear_residual(memory);
  put(memory.stamp->contribution_plus_one, kNoVersion);
  put(memory.stamp->merged_plus_one, kNoVersion);
  put(memory.stamp->version_plus_one[side], state.version);
  raise_applied(slab, state.version);
  return Status();
}

void KeeperStore::clear(int slab) {
  const SlabMemory& memory = at(slab);
  for (auto& version : memory.stamp->version_plus_one) put(version, kNoVersion);
  clear_residual(memory);
  put(memory.stamp->contribution_plus_one, kNoVersion);
  put(memory.stamp->merged_plus_one, kNoVersion);
  const int fragment = table_[slab].fragment;
  const std::vector<int> siblings = slabs_of_fragment(fragment);
  if (std::ranges::all_of(siblings, [this](int s) { return version(s) == kNoVersion; })) {
    put(memory_.fragments()[fragment].applied_plus_one, kNoVersion);
  }
}

// --- own contribution

Result<Frozen> KeeperStore::freeze(int slab, int64_t round, int64_t base,
                                   std::span<const float> values) {
  const SlabMemory& memory = at(slab);
  SlabStamp& stamp = *memory.stamp;
  if (values.size() != memory.w[0].size()) return bug(cat("freeze: wrong size of ", shown(slab)));
  SKARV_TRY(check_previous(memory, round));
  if (base != version(slab)) {
    return wrong_moment(cat("the contribution to ", shown(slab), " for round ", round,
                            " started from version ", base, ", the outer weights are at ",
                            version(slab)));
  }
  if (get(stamp.contribution_plus_one) > version(slab)) {
    return wrong_moment(cat("the contribution to ", shown(slab), " for round ",
                            get(stamp.contribution_plus_one), " is frozen already"));
  }
  put(stamp.contribution_plus_one, kNoVersion);
  const bool exact = memory_.settings().exact;
  const int spare = spare_residual_side(memory);
  put(stamp.residual_plus_one[spare], kNoVersion);
  const ResidualSource source{.values = exact ? values : state(slab).w,
                              .minus = exact ? std::span<const float>() : values,
                              .residual = residual(slab),
                              .decay = memory_.settings().residual_decay};
  Result<ValueFacts> facts =
      encode_with_residual(upload_, source, memory.contribution, memory.residual[spare]);
  if (!facts.ok()) {
    return facts.status().wrap(cat("no contribution to ", shown(slab), " for round ", round));
  }
  stamp.contribution_leaf =
      payload_leaf(PayloadKind::kContribution, slab, round, memory.contribution);
  put(stamp.contribution_plus_one, round);
  return Frozen{stamp.contribution_leaf, *facts};
}

Result<std::span<const std::byte>> KeeperStore::contribution(int slab, int64_t round) const {
  const SlabMemory& memory = at(slab);
  if (get(memory.stamp->contribution_plus_one) != round) {
    return Status(Code::kNotFound, Scope::kSite,
                  cat("no contribution to ", shown(slab), " for round ", round, " is held"));
  }
  SKARV_TRY(check_payload(table_, PayloadKind::kContribution, slab, round, memory.contribution,
                          memory.stamp->contribution_leaf, "this keeper's memory"));
  return std::span<const std::byte>(memory.contribution);
}

Digest KeeperStore::contribution_leaf(int slab) const {
  const SlabStamp& stamp = *at(slab).stamp;
  return get(stamp.contribution_plus_one) > version(slab) ? stamp.contribution_leaf : Digest();
}

void KeeperStore::withdraw(int slab) { put(at(slab).stamp->contribution_plus_one, kNoVersion); }

// --- merged payload

Status KeeperStore::hold_merged(int slab, int64_t round, std::span<const std::byte> bytes,
                                const Digest& leaf, const std::string& from) {
  const SlabMemory& memory = at(slab);
  SKARV_TRY(check_payload(table_, PayloadKind::kMerged, slab, round, bytes, leaf, from));
  SKARV_TRY(check_previous(memory, round));
  const auto size = static_cast<int64_t>(memory.w[0].size());
  if (Result<ValueFacts> facts = payload_facts(download_, bytes, size); !facts.ok()) {
    return facts.status().wrap(
        cat("merged payload to ", shown(slab), " of round ", round, " from ", from));
  }
  put(memory.stamp->merged_plus_one, kNoVersion);
  std::ranges::copy(bytes, memory.merged.begin());
  memory.stamp->merged_leaf = leaf;
  put(memory.stamp->merged_plus_one, round);
  return Status();
}

bool KeeperStore::has_merged(int slab, int64_t round, const Digest& leaf) const {
  const SlabStamp& stamp = *at(slab).stamp;
  return get(stamp.merged_plus_one) == round && stamp.merged_leaf == leaf;
}

Result<std::span<const std::byte>> KeeperStore::merged(int slab, int64_t round) const {
  const SlabMemory& memory = at(slab);
  if (get(memory.stamp->merged_plus_one) != round) {
    return Status(Code::kNotFound, Scope::kSite,
                  cat("no merged payload to ", shown(slab), " of round ", round, " is held"));
  }
  SKARV_TRY(check_payload(table_, PayloadKind::kMerged, slab, round, memory.merged,
                          memory.stamp->merged_leaf, "this keeper's memory"));
  return std::span<const std::byte>(memory.merged);
}

Digest KeeperStore::merged_leaf(int slab) const {
  const SlabStamp& stamp = *at(slab).stamp;
  return get(stamp.merged_plus_one) == kNoVersion ? Digest() : stamp.merged_leaf;
}

// --- outer step

Status KeeperStore::check_previous(const SlabMemory& memory, int64_t round) const {
  if (round < 1 || table_.fragment_of_round(round) != table_[memory.slab].fragment) {
    return wrong_moment(cat("round ", round, " does not merge ", shown(memory.slab)));
  }
  const int64_t expected = previous_round(table_, round), actual = version(memory.slab);
  if (actual == expected) return Status();
  return wrong_moment(cat(shown(memory.slab), " is at version ", actual, ", round ", round,
                          " needs version ", expected, ": an apply was skipped or repeated"))
      .with_hint("the keeper fetches the slab again");
}

Status KeeperStore::step(const SlabMemory& memory, const OuterScalars& scalars,
                         std::span<const std::byte> payload) {
  const bool exact = memory_.settings().exact;
  if (exact != std::holds_alternative<arithmetic::AdamScalars>(scalars)) {
    return bug("the record's scalars belong to the other exchange mode");
  }
  const int from = current_side(memory), to = 1 - from;
  put(memory.stamp->version_plus_one[to], kNoVersion);
  const auto size = static_cast<int64_t>(memory.w[0].size());
  const bool decays = table_.tensor_of(memory.slab).decays;
  std::array<float, kPiece> decoded;
  for (int64_t begin = 0; begin < size; begin += kPiece) {
    const auto offset = static_cast<size_t>(begin);
    const auto count = static_cast<size_t>(std::min(kPiece, size - begin));
    const std::span<float> delta(decoded.data(), count);
    SKARV_TRY(download_.decode(
        payload.subspan(static_cast<size_t>(download_.encoded_bytes(begin)),
                        static_cast<size_t>(download_.encoded_bytes(static_cast<int64_t>(count)))),
        delta));
    const auto part = [&](std::span<float> all) { return all.subspan(offset, count); };
    if (exact) {
      arithmetic::adam_step(std::get<arithmetic::AdamScalars>(scalars), decays,
                            {part(memory.w[from]), part(memory.m[from]), part(memory.v[from])},
                            delta, {part(memory.w[to]), part(memory.m[to]), part(memory.v[to])});
    } else {
      arithmetic::nesterov_step(std::get<arithmetic::NesterovScalars>(scalars),
                                part(memory.w[from]), part(memory.m[from]), delta,
                                part(memory.w[to]), part(memory.m[to]));
    }
  }
  if (arithmetic::all_finite(memory.w[to]) && arithmetic::all_finite(memory.m[to]) &&
      arithmetic::all_finite(memory.v[to])) {
    return Status();
  }
  return Status(Code::kFailedPrecondition, Scope::kRun,
                cat("the outer step would make weights of ", shown(memory.slab),
                    " that are not finite"))
      .with_hint("lower the outer learning rate, or go back to an earlier checkpoint");
}

Status KeeperStore::apply(const ApplyOrder& order) {
  const int64_t round = order.round;
  if (round < 1) return bug(cat("apply: there is no round ", round));
  const std::vector<int> held = slabs_of_fragment(table_.fragment_of_round(round));
  if (held.empty()) return Status();
  if (std::ranges::all_of(held, [&](int slab) { return version(slab) >= round; })) {
    return Status();
  }
  if (!std::ranges::equal(order.slabs, held, {}, &SlabOrder::slab)) {
    return bug(cat("apply of round ", round, " lists ", order.slabs.size(),
                   " slabs; this keeper holds ", held.size(), " of the fragment"));
  }
  for (const SlabOrder& entry : order.slabs) {
    SKARV_TRY(check_previous(at(entry.slab), round));
    if (!has_merged(entry.slab, round, entry.merged)) {
      return wrong_moment(cat("the committed payload of round ", round, " to ", shown(entry.slab),
                              " is not held"))
          .with_hint("it is fetched from another keeper");
    }
    SKARV_TRY(merged(entry.slab, round).status());
  }
  for (const SlabOrder& entry : order.slabs) {
    SKARV_TRY(step(at(entry.slab), order.scalars, at(entry.slab).merged));
  }
  // Nothing can fail from here on. All these stamps lie above the fragment's, so they count only
  // once that is raised, for all slabs at once.
  for (const SlabOrder& entry : order.slabs) {
    const SlabMemory& memory = at(entry.slab);
    prepare_residual(memory, order, entry);
    put(memory.stamp->version_plus_one[1 - current_side(memory)], round);
  }
  raise_applied(held.front(), round);
  for (const int slab : held) withdraw(slab);
  return Status();
}

void KeeperStore::prepare_residual(const SlabMemory& memory, const ApplyOrder& order,
                                   const SlabOrder& entry) {
  if (memory.residual[0].empty() || order.delivery == Delivery::kExcluded) return;
  SlabStamp& stamp = *memory.stamp;
  const int spare = spare_residual_side(memory);
  // I5: e' belongs to one contribution. If the record lists another (this process lost the one it
  // sent), what was left out of it is lost too.
  const bool ours = order.delivery == Delivery::kIncluded &&
                    get(stamp.contribution_plus_one) == order.round &&
                    stamp.contribution_leaf == entry.contribution;
  if (!ours) {
    put(stamp.residual_plus_one[spare], kNoVersion);
    std::ranges::fill(memory.residual[spare], 0.0f);
  }
  put(stamp.residual_plus_one[spare], order.round);
}

Status KeeperStore::replay(int slab, int64_t round, const OuterScalars& scalars,
                           std::span<const std::byte> payload, const Digest& leaf,
                           const std::string& from) {
  const SlabMemory& memory = at(slab);
  SKARV_TRY(check_payload(table_, PayloadKind::kMerged, slab, round, payload, leaf, from));
  SKARV_TRY(check_previous(memory, round));
  SKARV_TRY(payload_facts(download_, payload, static_cast<int64_t>(memory.w[0].size())).status());
  SKARV_TRY(step(memory, scalars, payload));
  clear_residual(memory);
  withdraw(slab);
  put(memory.stamp->version_plus_one[1 - current_side(memory)], round);
  raise_applied(slab, round);
  return Status();
}

}  // namespace skarv
