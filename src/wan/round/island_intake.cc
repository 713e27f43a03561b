// How a record gets into the keeper: ACCEPT and COMMIT, bytes from mergers, peers or the own log,
// apply, and what it means for the local weights.
#include <algorithm>

#include "base/text.h"
#include "wan/round/island_machine.h"
#include "wan/round/placement.h"

namespace skarv::wan {

namespace {

constexpr size_t kMaxPayloadsOfSlab = 3;  // of different attempts
constexpr int64_t kMaxCommitsAhead = 64;

net::Buffer pack(const std::vector<Digest>& leaves) {
  std::vector<std::byte> bytes(leaves.size() * sizeof(Digest));
  if (!bytes.empty()) std::memcpy(bytes.data(), leaves.data(), bytes.size());
  return net::Buffer::take(std::move(bytes));
}

std::vector<Digest> unpack(const net::Buffer& bytes) {
  std::vector<Digest> leaves(bytes.size() / sizeof(Digest));
  if (!leaves.empty()) std::memcpy(leaves.data(), bytes.data(), leaves.size() * sizeof(Digest));
  return leaves;
}

}  // namespace

// --- what the coordinator says

void IslandMachine::on(const std::string& from, const Fence& fence, const Accept& accept) {
  if (!from_coordinator(from) || fence.term != promised_ || fence.round <= applied_) return;
  if (accept.record.round != fence.round || accept.record.attempt != fence.attempt ||
      accept.record.term != fence.term) {
    return;
  }
  if (accept_ && fence <= accept_->fence) return;
  accept_ = {fence, accept};
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Commit& commit) {
  if (!from_coordinator(from) || fence.term != promised_) return;
  const int64_t n = commit.record.round;
  retain_from_ = std::max(retain_from_, commit.retain_from);
  known_committed_ = std::max(known_committed_, n);
  if (n > applied_ && n <= applied_ + kMaxCommitsAhead) commits_.emplace(n, commit.record);
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Merged& merged) {
  fetcher_.progress(from, now_);
  add_merged(fence.round, merged.slab, {merged.leaf, merged.bytes, from});
}

void IslandMachine::add_merged(int64_t round, int slab, Bytes bytes) {
  // The next round's may overtake the COMMIT of this one.
  if (round < current() || round > current() + 1 || slab >= table_.size()) return;
  if (find_merged(round, slab, bytes.leaf) != nullptr) return;
  auto& list = merged_bytes_[round][slab];
  if (list.size() >= kMaxPayloadsOfSlab) list.erase(list.begin());
  list.push_back(std::move(bytes));
}

const IslandMachine::Bytes* IslandMachine::find_merged(int64_t round, int slab,
                                                       const Digest& leaf) const {
  auto of_round = merged_bytes_.find(round);
  if (of_round == merged_bytes_.end()) return nullptr;
  auto found = of_round->second.find(slab);
  if (found == of_round->second.end()) return nullptr;
  for (const Bytes& bytes : found->second) {
    if (bytes.leaf == leaf) return &bytes;
  }
  return nullptr;
}

void IslandMachine::drop_merged(int64_t round, int slab, const Digest& leaf) {
  std::erase_if(merged_bytes_[round][slab], [&](const Bytes& bytes) { return bytes.leaf == leaf; });
}

// --- intake

void IslandMachine::consider_intake() {
  if (intake_ && intake_->applying) return;
  if (!rooted_ && !learner_) return;
  auto commit = commits_.find(current());
  if (commit != commits_.end()) {
    const Digest digest = digest_of(commit->second);
    if (intake_ && intake_->digest == digest) {
      intake_->committed = true;
    } else {
      start_intake(commit->second, {}, true);
    }
  } else if (!learner_ && accept_ && accept_->fence.round == current()) {
    const Accept& accept = accept_->message;
    if (!intake_ || accept_->fence.term > intake_->record.term ||
        (accept_->fence.term == intake_->record.term &&
         accept_->fence.attempt > intake_->record.attempt)) {
      start_intake(accept.record, accept.leaves, false);
    }
  }
  if (!intake_) return;
  if (learner_) {
    feed_replay();
  } else {
    feed_intake();
  }
}

void IslandMachine::start_intake(const Record& record, std::vector<Digest> leaves, bool committed) {
  if (record.fragment != table_.fragment_of_round(record.round)) return;
  if (chain_ && record.previous_chain != *chain_) {
    if (!committed) return;
    return halt(Status(Code::kDataLoss, Scope::kRun,
                       cat("round ", record.round, " was committed on another chain than that of ",
                           settings_.name))
                    .with_hint("this island's state belongs to another history: remove it"));
  }
  if (rooted_ && !learner_ && record.base_state_root != state_root_) {
    return start_learning(cat("round ", record.round, " builds on another outer state"));
  }
  if (leaves.empty() && accept_ && digest_of(accept_->message.record) == digest_of(record)) {
    leaves = accept_->message.leaves;
  }
  // Contributions to it are merged: whoever waited for them waits no more, nor hides by their
  // traffic that a payload got lost.
  fetcher_.drop(FetchKind::kContribution);
  fetcher_.drop(FetchKind::kPayload);
  fetcher_.drop(FetchKind::kLeaves);
  Intake intake;
  intake.record = record;
  intake.digest = digest_of(record);
  intake.slabs = table_.slabs_of_fragment(record.fragment);
  intake.committed = committed;
  intake_ = std::move(intake);
  if (!leaves.empty()) leaves_known(std::move(leaves));
}

void IslandMachine::leaves_known(std::vector<Digest> leaves) {
  if (!intake_ || !intake_->leaves.empty()) return;
  if (leaves.size() != intake_->slabs.size() ||
      merkle_root(leaves) != intake_->record.payload_root) {
    return;
  }
  intake_->leaves = std::move(leaves);
  fetcher_.done({FetchKind::kLeaves, intake_->record.round, 0, ""});
}

void IslandMachine::feed_intake() {
  Intake& intake = *intake_;
  const int64_t n = intake.record.round;
  if (intake.leaves.empty()) {
    if (!intake.asked_own_log) {
      intake.asked_own_log = true;
      work(LoadJob{LoadJob::What::kLeaves, 0, n, ""});
    }
    return;
  }
  for (size_t i = 0; i < intake.slabs.size(); ++i) {
    const int slab = intake.slabs[i];
    if (intake.held.contains(slab) || intake.asked.contains(slab)) continue;
    const Bytes* bytes = find_merged(n, slab, intake.leaves[i]);
    const Fetcher::Key key{FetchKind::kPayload, n, slab, ""};
    if (bytes != nullptr) {
      intake.asked.insert(slab);
      work(HoldJob{slab, n, intake.leaves[i], bytes->bytes, bytes->from});
    } else if (intake.asked_own_log) {
      intake.asked.insert(slab);
      work(LoadJob{LoadJob::What::kPayload, slab, n, ""});
    } else if (!fetcher_.wants(key)) {
      const bool open = round_is_open();
      const std::string merger =
          open ? merger_of(slab, view_, open_->message.mergers) : std::string();
      fetcher_.want(key, intake.leaves[i], others_first(merger), open && merger != settings_.name,
                    now_);
    }
  }
  if (intake.held.size() != intake.slabs.size()) return;
  if (!intake.seal_asked) {
    intake.seal_asked = true;
    work(SealJob{n, intake.digest});
  }
  if (!intake.sealed) return;
  if (!intake.committed && !intake.accept_logged) {
    intake.accept_logged = true;
    accepted_ = intake.record;
    actions_.push_back(PersistIsland{LogAccept{intake.record}});
    send_accepted();
  }
  // The local weights have to take one round before the keeper takes the next: they need both.
  if (intake.committed && !local_busy_) apply();
}

void IslandMachine::held(const WorkDone& done, const HoldJob& job) {
  if (!intake_ || intake_->record.round != job.round) return;
  intake_->asked.erase(job.slab);
  const auto position = std::find(intake_->slabs.begin(), intake_->slabs.end(), job.slab);
  if (position == intake_->slabs.end() || intake_->leaves.empty() ||
      intake_->leaves[position - intake_->slabs.begin()] != job.leaf) {
    return;
  }
  const Fetcher::Key key{FetchKind::kPayload, job.round, job.slab, ""};
  if (done.status.ok()) {
    intake_->held.insert(job.slab);
    fetcher_.done(key);
    return;
  }
  if (done.status.code() == Code::kResourceExhausted) {
    return halt(done.status.wrap(cat("round ", job.round, " cannot be kept")));
  }
  say("payload " + job.from, done.status.message());
  drop_merged(job.round, job.slab, job.leaf);
  if (fetcher_.wants(key)) {
    if (fetcher_.refused(key, job.from, now_)) nobody_has(key);
  } else {
    fetcher_.want(key, job.leaf, others_first(job.from), false, now_);
  }
}

void IslandMachine::send_accepted() {
  // I8: a learner never votes. Rule 5: only what is in the log is promised.
  if (!intake_ || !intake_->accept_logged || learner_) return;
  if (intake_->record.term != promised_) return;
  send(kCoordinatorName, intake_->record.round, intake_->record.attempt, Accepted{intake_->digest});
}

// A donor, or the own log, has answered for a payload or a list of leaves.
void IslandMachine::loaded(const WorkDone& done, const LoadJob& job) {
  const bool ok = done.status.ok();
  if (!job.requester.empty()) {
    Fetched answer;
    answer.kind = job.what == LoadJob::What::kPayload  ? FetchKind::kPayload
                  : job.what == LoadJob::What::kLeaves ? FetchKind::kLeaves
                                                       : FetchKind::kState;
    answer.slab = job.slab;
    answer.absent = !ok || learner_;
    if (!answer.absent) {
      answer.leaf = done.leaf;
      answer.version = done.version;
      answer.applied = applied_;
      answer.bytes = done.bytes;
    }
    send(job.requester, job.round, 0, std::move(answer));
    return;
  }
  if (!intake_ || intake_->record.round != job.round) return;
  if (job.what == LoadJob::What::kLeaves) {
    if (ok) leaves_known(unpack(done.bytes));
    if (intake_->leaves.empty()) {
      fetcher_.want({FetchKind::kLeaves, job.round, 0, ""}, {}, others(), false, now_);
    }
    return;
  }
  intake_->asked.erase(job.slab);
  if (intake_->leaves.empty()) return;
  const auto position = std::find(intake_->slabs.begin(), intake_->slabs.end(), job.slab);
  if (position == intake_->slabs.end()) return;
  const Digest& leaf = intake_->leaves[position - intake_->slabs.begin()];
  if (ok && done.leaf == leaf) {
    intake_->asked.insert(job.slab);
    work(HoldJob{job.slab, job.round, leaf, done.bytes, settings_.name});
  } else {
    intake_->asked_own_log = false;  // it does not have this round: ask the others
  }
}

// --- apply

void IslandMachine::apply() {
  Intake& intake = *intake_;
  const Record& record = intake.record;
  if (record.round > committed_) {
    committed_ = record.round;
    committed_chain_ = chain_after(record);
    actions_.push_back(PersistIsland{LogCommit{record.round, intake.digest, committed_chain_}});
  }
  ApplyOrder order;
  order.round = record.round;
  order.scalars = record.scalars;
  const RecordEntry* entry = record.find(settings_.name);
  const bool live = entry != nullptr && own_entry_is_live(*entry);
  if (live && entry->verdict != Verdict::kRejected) {
    order.delivery = Delivery::kIncluded;
  } else if (entry != nullptr || residual_reset_pending_) {
    // Rejected, or it went out and its e' was lost with an earlier life of this island.
    order.delivery = Delivery::kRejected;
  }
  for (size_t i = 0; i < intake.slabs.size(); ++i) {
    const int slab = intake.slabs[i];
    Digest contribution;
    if (order.delivery == Delivery::kIncluded) contribution = frozen_.at(slab).leaf;
    order.slabs.push_back({slab, intake.leaves[i], contribution});
  }
  intake.applying = true;
  work(ApplyJob{std::move(order)});
}

// The record means the bytes frozen in this life of the local weights.
bool IslandMachine::own_entry_is_live(const RecordEntry& entry) const {
  return offer_ && !offer_->declined && entry.contribution.root == offer_->contribution.root &&
         entry.contribution.generation == generation_;
}

void IslandMachine::applied(const WorkDone& done, const ApplyJob& job) {
  if (!intake_ || !intake_->applying || intake_->record.round != job.order.round) return;
  const Record record = intake_->record;
  if (!done.status.ok()) {
    return start_learning(
        cat("round ", record.round, " could not be applied: ", done.status.message()));
  }
  for (int slab : intake_->slabs) versions_[slab] = record.round;
  if (job.order.delivery == Delivery::kRejected) residual_reset_pending_ = false;
  applied_ = record.round;
  chain_ = chain_after(record);
  state_root_ = done.state_root;
  send(kCoordinatorName, applied_, 0, Applied{*chain_, state_root_});
  actions_.push_back(Note{"applied", {{"round", applied_}, {"state_root", state_root_.hex()}}});
  finish_round(record);
}

void IslandMachine::finish_round(const Record& record) {
  const RecordEntry* entry = record.find(settings_.name);
  take_up(record, entry != nullptr && own_entry_is_live(*entry));
  training_.round_finished();
  frozen_.clear();
  offer_.reset();
  intake_.reset();
  merger_.drop_rounds_through(applied_);
  fetcher_.drop_rounds_through(applied_);
  merged_bytes_.erase(merged_bytes_.begin(), merged_bytes_.upper_bound(applied_));
  commits_.erase(commits_.begin(), commits_.upper_bound(applied_));
}

void IslandMachine::take_up(const Record& record, bool live) {
  const int64_t behind = known_committed_ - record.round;
  if (live && record.find(settings_.name)->verdict == Verdict::kRejected) {
    reset_local("the gate refused its contribution");
  } else if (behind > 2 * table_.num_fragments()) {
    reset_pending_ = true;
  } else if (!reset_pending_) {
    if (live) training_.delivered(snapshot_step_);
    apply_locally(record, live || exact() ? LocalVerdict::kIncluded : LocalVerdict::kExcluded);
  }
  if (reset_pending_ && behind == 0) reset_local("it was more than two rounds behind");
}

// The trainer's local weights outlived the machine. Its newest snapshot is either still to be
// delivered, byte for byte as the machine before offered it, or it was, and the trainer has not
// heard.
void IslandMachine::go_on() {
  const LocalState local = *std::exchange(local_, std::nullopt);
  if (learner_) return reset_local("its outer state stopped between two rounds");
  snapshot_step_ = local.snapshot_step;
  if (local.round < applied_) {
    const RecordEntry* entry = accepted_->find(settings_.name);
    take_up(*accepted_, local.snapshot_round == applied_ && entry != nullptr &&
                            entry->contribution.generation == generation_);
  } else if (local.snapshot_round == current()) {
    snapshot_asked_ = local.snapshot_round;
    training_.wait_again(local.snapshot_step);
    freeze(local.snapshot_round, local.snapshot_step);
  }
}

void IslandMachine::apply_locally(const Record& record, LocalVerdict verdict) {
  int64_t not_before = 0;
  if (verdict == LocalVerdict::kIncluded && !exact()) {
    not_before = std::min(snapshot_step_ + settings_.run.exchange.overlap_steps,
                          std::max(settings_.run.steps, training_.step()));
  }
  local_busy_ = true;
  actions_.push_back(ApplyLocal{++local_token_, record.round, record.fragment, verdict,
                                arithmetic::float_of(record.alpha), not_before});
}

void IslandMachine::reset_local(const std::string& why) {
  reset_pending_ = false;
  residual_reset_pending_ = true;
  ++generation_;
  if (offer_ && !offer_->declined) {
    // What the old weights offered may still be in a closed set; nothing else is to wait for it.
    Offer declined;
    declined.declined = true;
    declined.contribution.island = settings_.name;
    declined.contribution.generation = generation_;
    offer_ = std::move(declined);
    send_offer();
  }
  lease_wanted_.reset();
  last_lease_id_ = 0;
  persist_promise();
  training_.reset();
  early_snapshot_.reset();
  local_busy_ = local_void_ = true;
  say("reset", cat("round ", applied_, ": the local weights of ", settings_.name,
                   " start again from the outer ones: ", why));
  actions_.push_back(ApplyLocal{++local_token_, applied_, -1, LocalVerdict::kReset, 0, 0});
}

// --- serving and being served

void IslandMachine::on(const std::string& from, const Fence& fence, const Fetch& fetch) {
  if (from_coordinator(from) || fetch.slab >= table_.size()) return;
  const int64_t n = fence.round;
  Fetched answer;
  answer.kind = fetch.kind;
  answer.slab = fetch.slab;
  answer.absent = true;
  if (learner_) {  // I8: a learner never donates
    send(from, n, 0, std::move(answer));
    return;
  }
  if (fetch.kind == FetchKind::kContribution) {
    auto own = frozen_.find(fetch.slab);
    if (n == current() && own != frozen_.end()) {
      answer.absent = false;
      answer.leaf = own->second.leaf;
      answer.bytes = own->second.bytes;
    }
    send(from, n, 0, std::move(answer));
    return;
  }
  if (fetch.kind == FetchKind::kPayload) {
    if (const Bytes* bytes = find_merged(n, fetch.slab, fetch.digest)) {
      answer.absent = false;
      answer.leaf = bytes->leaf;
      answer.bytes = bytes->bytes;
      send(from, n, 0, std::move(answer));
      return;
    }
  }
  if (fetch.kind == FetchKind::kLeaves && intake_ && intake_->record.round == n &&
      !intake_->leaves.empty()) {
    answer.absent = false;
    answer.bytes = pack(intake_->leaves);
    send(from, n, 0, std::move(answer));
    return;
  }
  const auto what = fetch.kind == FetchKind::kPayload  ? LoadJob::What::kPayload
                    : fetch.kind == FetchKind::kLeaves ? LoadJob::What::kLeaves
                                                       : LoadJob::What::kState;
  work(LoadJob{what, fetch.slab, n, from});
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Fetched& fetched) {
  if (from_coordinator(from)) return;
  fetcher_.progress(from, now_);
  const bool contribution = fetched.kind == FetchKind::kContribution;
  const Fetcher::Key key{fetched.kind, fetched.kind == FetchKind::kState ? 0 : fence.round,
                         fetched.kind == FetchKind::kLeaves ? 0 : fetched.slab,
                         contribution ? from : ""};
  if (!fetcher_.wants(key)) return;
  const Digest wanted = fetcher_.digest_of(key);
  const bool wrong = !wanted.is_zero() && fetched.leaf != wanted;
  if (fetched.absent || wrong) {
    if (contribution) {
      fetcher_.done(key);  // nothing is frozen there for this round (yet): it will be pushed
    } else if (fetcher_.refused(key, from, now_)) {
      nobody_has(key);
    }
    return;
  }
  taught_ = now_;
  switch (fetched.kind) {
    case FetchKind::kContribution:
      add_contribution(fence.round, from, fetched.slab, fetched.leaf, fetched.bytes);
      break;
    case FetchKind::kPayload:
      add_merged(fence.round, fetched.slab, {fetched.leaf, fetched.bytes, from});
      break;
    case FetchKind::kLeaves:
      leaves_known(unpack(fetched.bytes));
      if (fetcher_.wants(key) && fetcher_.refused(key, from, now_)) nobody_has(key);
      break;
    case FetchKind::kState:
      state_fetched(from, fetched);
      break;
  }
}

// No donor has bytes that this island needs to go on. A learner waits (rule 9): it wants them again
// with a new back-off, since a donor may come back, and consider_learning() says whom it waits for.
void IslandMachine::nobody_has(const Fetcher::Key& key) {
  if (learner_) return fetcher_.done(key);
  if (!intake_ || !intake_->committed) return;
  start_learning(cat("the merged slabs of round ", key.round, " are not kept any more"));
}

}  // namespace skarv::wan
