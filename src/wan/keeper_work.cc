#include "wan/keeper_work.h"

#include <cstring>

#include "base/text.h"
#include "wan/merge.h"
#include "wan/payload.h"

namespace skarv::wan {

KeeperWork::KeeperWork(std::string name, KeeperStore& keeper, MergerStore& merger,
                       PayloadStore& payloads, CodecKind upload, Snapshot snapshot)
    : name_(std::move(name)),
      keeper_(keeper),
      merger_(merger),
      payloads_(payloads),
      upload_(codec_of(upload)),
      snapshot_(std::move(snapshot)),
      leaves_(keeper.slabs().size()) {}

WorkDone KeeperWork::run(const Job& job) {
  WorkDone done;
  done.job = job;
  std::visit([&](const auto& one) { run(one, done); }, job);
  return done;
}

void KeeperWork::run(const WithdrawJob&, WorkDone&) {
  for (int slab : keeper_.slabs()) keeper_.withdraw(slab);
}

void KeeperWork::run(const FreezeJob& job, WorkDone& done) {
  done.status = [&]() -> Status {
    SKARV_ASSIGN(const std::span<const float> values, snapshot_(job.round, job.slab));
    SKARV_ASSIGN(const Frozen frozen, keeper_.freeze(job.slab, job.round, job.base, values));
    SKARV_ASSIGN(const auto bytes, keeper_.contribution(job.slab, job.round));
    done.leaf = frozen.leaf;
    done.facts = frozen.facts;
    done.bytes = net::Buffer::copy_of(bytes);
    return {};
  }();
}

void KeeperWork::run(const MeasureJob& job, WorkDone& done) {
  done.status = [&]() -> Status {
    const SlabTable& table = keeper_.table();
    SKARV_TRY(check_payload(table, PayloadKind::kContribution, job.slab, job.round,
                            job.bytes.span(), job.leaf, job.island));
    SKARV_ASSIGN(done.facts, payload_facts(upload_, job.bytes.span(), table[job.slab].size()));
    return {};
  }();
}

void KeeperWork::run(const MergeJob& job, WorkDone& done) {
  done.status = [&]() -> Status {
    if (!merger_.holds(job.slab)) merger_.add(job.slab);
    std::vector<MergeInput> inputs;
    for (size_t i = 0; i < job.payloads.size(); ++i) {
      inputs.push_back({job.payloads[i].span(), job.weights[i]});
    }
    SKARV_ASSIGN(const Merged merged, merger_.merge(job.slab, job.round, inputs));
    done.leaf = merged.leaf;
    done.facts = merged.facts;
    done.bytes = net::Buffer::copy_of(merged.payload);
    return {};
  }();
}

void KeeperWork::run(const HoldJob& job, WorkDone& done) {
  done.status = [&]() -> Status {
    SKARV_TRY(keeper_.hold_merged(job.slab, job.round, job.bytes.span(), job.leaf, job.from));
    // What came out of the log is in it.
    const Result<StoredPayload> stored = payloads_.load(job.round, job.slab);
    if (stored.ok() && stored->leaf == job.leaf) return {};
    return payloads_.append(job.round, job.slab, job.leaf, job.bytes);
  }();
}

void KeeperWork::run(const SealJob&, WorkDone& done) { done.status = payloads_.sync(); }

void KeeperWork::run(const ApplyJob& job, WorkDone& done) {
  done.status = keeper_.apply(job.order);
  if (!done.status.ok()) return;
  for (const SlabOrder& order : job.order.slabs) {
    if (merger_.holds(order.slab)) merger_.commit(order.slab, job.order.round, order.merged);
    leaves_[order.slab] = {};
  }
  done.state_root = root();
}

void KeeperWork::run(const ReplayJob& job, WorkDone& done) {
  done.status =
      keeper_.replay(job.slab, job.round, job.scalars, job.bytes.span(), job.leaf, job.from);
  leaves_[job.slab] = {};
}

Status KeeperWork::install(const InstallJob& job) {
  const int64_t size = keeper_.table()[job.slab].size();
  const bool exact = keeper_.memory().settings().exact;
  const size_t expected = static_cast<size_t>(size) * sizeof(float) * (exact ? 3 : 2);
  if (job.bytes.size() != expected) {
    return Status(Code::kDataLoss, Scope::kPeer,
                  cat("the state of ", keeper_.table().name_of(job.slab), " from ", job.from,
                      " has ", job.bytes.size(), " bytes instead of ", expected));
  }
  std::vector<float> values(expected / sizeof(float));
  std::memcpy(values.data(), job.bytes.data(), expected);
  const std::span<const float> all(values);
  SlabState state{job.version, all.subspan(0, size), all.subspan(size, size), {}};
  if (exact) state.v = all.subspan(2 * size, size);
  keeper_.clear(job.slab);
  return keeper_.install(job.slab, state, job.leaf, job.from);
}

void KeeperWork::run(const InstallJob& job, WorkDone& done) {
  done.status = install(job);
  leaves_[job.slab] = {};
}

void KeeperWork::run(const RootJob&, WorkDone& done) {
  std::fill(leaves_.begin(), leaves_.end(), Digest{});  // from memory, not from what was computed
  done.state_root = root();
}

Digest KeeperWork::root() {
  for (int slab : keeper_.slabs()) {
    if (leaves_[slab].is_zero()) leaves_[slab] = keeper_.state_leaf(slab);
  }
  return merkle_root(leaves_);
}

void KeeperWork::run(const LoadJob& job, WorkDone& done) {
  done.status = [&]() -> Status {
    if (job.what == LoadJob::What::kLeaves) return load_leaves(job.round, done);
    if (job.what == LoadJob::What::kState) return load_state(job.slab, done);
    SKARV_ASSIGN(StoredPayload stored, payloads_.load(job.round, job.slab));
    done.leaf = stored.leaf;
    done.bytes = std::move(stored.bytes);
    return {};
  }();
}

Status KeeperWork::load_leaves(int64_t round, WorkDone& done) {
  const SlabTable& table = keeper_.table();
  std::vector<std::byte> bytes;
  for (int slab : table.slabs_of_fragment(table.fragment_of_round(round))) {
    SKARV_ASSIGN(const StoredPayload stored, payloads_.load(round, slab));
    const auto leaf = std::as_bytes(std::span(stored.leaf.bytes));
    bytes.insert(bytes.end(), leaf.begin(), leaf.end());
  }
  done.bytes = net::Buffer::take(std::move(bytes));
  return {};
}

Status KeeperWork::load_state(int slab, WorkDone& done) {
  const SlabState state = keeper_.state(slab);
  if (state.version == kNoVersion) {
    return Status(Code::kNotFound, Scope::kPeer, "no state of this slab is here");
  }
  std::vector<std::byte> bytes;
  for (const std::span<const float> part : {state.w, state.m, state.v}) {
    const auto raw = std::as_bytes(part);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  done.version = state.version;
  done.leaf = keeper_.state_leaf(slab);
  done.bytes = net::Buffer::take(std::move(bytes));
  return {};
}

void KeeperWork::run(const PruneJob& job, WorkDone& done) {
  done.status = payloads_.prune(job.retain_from);
}

}  // namespace skarv::wan
