// The island's part in an open round: snapshot, offer, and merging the slabs that are its own.
#include <algorithm>

#include "base/text.h"
#include "wan/round/island_machine.h"
#include "wan/round/placement.h"

namespace skarv::wan {

bool IslandMachine::round_is_open() const { return open_ && open_->fence.round == current(); }

const std::vector<int>& IslandMachine::my_slabs(const std::vector<std::string>& mergers) {
  if (placed_round_ == current() && placed_mergers_ == mergers) return placed_slabs_;
  placed_round_ = current();
  placed_mergers_ = mergers;
  std::vector<int>& slabs = placed_slabs_;
  slabs.clear();
  for (int slab : table_.slabs_of_fragment(table_.fragment_of_round(current()))) {
    if (merger_of(slab, view_, mergers) == settings_.name) slabs.push_back(slab);
  }
  return slabs;
}

// --- own contribution

void IslandMachine::on(const std::string& from, const Fence& fence, const Open& open) {
  if (!from_coordinator(from) || fence.term != promised_ || fence.round <= applied_) return;
  if (open_ && fence <= open_->fence) return;
  open_ = {fence, open};
  drop_older_attempt(fence);
  if (fence.round != current() || learner_) return;
  for (const std::string& island : merger_.islands_of(current())) send_have(island);
  // What was offered or frozen while no round was open went nowhere.
  if (offer_) send_offer();
  for (const auto& [slab, own] : frozen_) {
    if (own.pushed_to != merger_of(slab, view_, open.mergers)) push_contribution(slab);
  }
}

// Merged bytes of an attempt that was given up die (rule 4), also those still looked for.
void IslandMachine::drop_older_attempt(const Fence& opened) {
  if (accept_ && opened > accept_->fence) accept_.reset();
  if (!intake_ || intake_->committed || intake_->accept_logged) return;
  const Record& record = intake_->record;
  const Fence of_intake{opened.run, record.term, record.round, record.attempt};
  if (!(opened > of_intake)) return;
  intake_.reset();
  fetcher_.drop(FetchKind::kPayload);
  fetcher_.drop(FetchKind::kLeaves);
}

void IslandMachine::consider_snapshot() {
  // The merged weights of the last round may still wait for their step: the snapshot comes after
  // them (rule 7), and with the longest overlap at the end of that very step.
  const bool is_busy = exact() ? local_busy_ : local_void_;
  if (!round_is_open() || is_busy || reset_pending_ || snapshot_asked_ >= current()) return;
  if (open_->message.fragment != table_.fragment_of_round(current())) return;
  if (settings_.last_round > 0 && current() > settings_.last_round) return;
  snapshot_asked_ = current();
  const auto early = std::exchange(early_snapshot_, std::nullopt);
  if (early && early->first == current()) return take_snapshot(early->first, early->second);
  actions_.push_back(
      TakeSnapshot{current(), open_->message.fragment, training_.due_step(applied_)});
}

IslandMachine::Actions IslandMachine::snapshot_ready(Time now, int64_t round, int64_t step) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  // Too late: the round was committed without it, or the weights were reset since.
  if (round != current() || local_void_ || learner_ || frozen_round_ == round) return take();
  if (snapshot_asked_ == round) {
    take_snapshot(round, step);
  } else if (exact()) {
    early_snapshot_ = {round, step};
  }
  advance();
  return take();
}

void IslandMachine::take_snapshot(int64_t round, int64_t step) {
  if (!frozen_.empty()) work(WithdrawJob{});  // of an earlier life of the weights
  training_.snapshot_taken(step);
  freeze(round, step);
}

void IslandMachine::freeze(int64_t round, int64_t step) {
  frozen_round_ = round;
  snapshot_step_ = step;
  frozen_.clear();
  for (int slab : table_.slabs_of_fragment(table_.fragment_of_round(round))) {
    work(FreezeJob{slab, round, versions_[slab]});
  }
}

void IslandMachine::frozen(const WorkDone& done, const FreezeJob& job) {
  if (job.round != current() || frozen_round_ != job.round || learner_ ||
      (offer_ && !offer_->declined)) {
    return;
  }
  if (!done.status.ok()) return decline(done.status);
  frozen_[job.slab] = {done.leaf, done.bytes, ""};
  push_contribution(job.slab);
  const auto slabs = table_.slabs_of_fragment(table_.fragment_of_round(job.round));
  if (frozen_.size() != slabs.size()) return;
  std::vector<Digest> leaves;
  for (const auto& [slab, own] : frozen_) leaves.push_back(own.leaf);
  Offer offer;
  offer.contribution.island = settings_.name;
  offer.contribution.generation = generation_;
  offer.contribution.root = merkle_root(leaves);
  training_.fill(snapshot_step_, &offer.contribution);
  offer.base_version = versions_[job.slab];
  offer_ = std::move(offer);
  send_offer();
}

// No offer (rule 3): values that are not finite must not reach the others. Local weights that are
// broken cannot heal by themselves, so they start again from the outer ones.
void IslandMachine::decline(const Status& why) {
  say("decline",
      cat("round ", current(), ": no contribution of ", settings_.name, ": ", why.message()));
  frozen_.clear();
  work(WithdrawJob{});
  Offer offer;
  offer.declined = true;
  offer.contribution.island = settings_.name;
  if (settings_.run.exchange.mode == ExchangeMode::kLocal) {
    reset_local("its values are not finite");
  }
  offer.contribution.generation = generation_;
  offer_ = std::move(offer);
  send_offer();
  // If the round is still open after another period of training, it may yet take part.
  if (settings_.run.exchange.mode == ExchangeMode::kLocal) snapshot_asked_ = frozen_round_ = 0;
}

void IslandMachine::send_offer() {
  if (!offer_ || !chain_ || !rooted_ || learner_ || promised_.epoch == 0) return;
  offer_->base_chain = *chain_;
  offer_->base_state_root = state_root_;
  send(kCoordinatorName, current(), open_ ? open_->fence.attempt : 0, *offer_);
}

void IslandMachine::push_contribution(int slab) {
  if (!round_is_open()) return;
  const std::string merger = merger_of(slab, view_, open_->message.mergers);
  Frozen& own = frozen_.at(slab);
  own.pushed_to = merger;
  if (merger == settings_.name) {
    add_contribution(current(), settings_.name, slab, own.leaf, own.bytes);
  } else if (!merger.empty()) {
    send(merger, current(), open_->fence.attempt, Contrib{slab, 0, own.leaf, own.bytes});
  }
}

// What was under way to it is lost, or went nowhere.
void IslandMachine::push_again(const std::string& peer) {
  if (!round_is_open()) return;
  for (const auto& [slab, own] : frozen_) {
    if (merger_of(slab, view_, open_->message.mergers) == peer) push_contribution(slab);
  }
  if (!close_ || close_->fence.round != current() || open_->fence > close_->fence) return;
  for (const auto& [slab, result] : merger_.results()) {
    if (!result) continue;
    send(peer, current(), close_->fence.attempt, Merged{slab, 0, result->leaf, result->bytes});
  }
}

// --- merging

void IslandMachine::on(const std::string& from, const Fence& fence, const Contrib& contrib) {
  add_contribution(fence.round, from, contrib.slab, contrib.leaf, contrib.bytes);
}

void IslandMachine::add_contribution(int64_t round, const std::string& island, int slab,
                                     const Digest& leaf, const net::Buffer& bytes) {
  if (round <= applied_ || round > applied_ + 2 || learner_) return;
  if (slab >= table_.size() || table_[slab].fragment != table_.fragment_of_round(round)) return;
  fetcher_.progress(island, now_);
  // Another contribution may take its place until a closed set lists the first.
  bool closed = false;
  if (close_ && close_->fence.round == round && !(open_ && open_->fence > close_->fence)) {
    for (const RecordEntry& entry : close_->message.delivered) {
      closed |= entry.contribution.island == island;
    }
  }
  if (!merger_.add(round, island, slab, leaf, bytes, !closed)) return;
  work(MeasureJob{slab, round, island, leaf, bytes});
}

void IslandMachine::measured(const WorkDone& done, const MeasureJob& job) {
  const Fetcher::Key key{FetchKind::kContribution, job.round, job.slab, job.island};
  if (!done.status.ok()) {
    say("contribution " + job.island, done.status.message());
    merger_.refuse(job.round, job.island, job.slab, job.leaf);
    if (fetcher_.wants(key)) {
      fetcher_.refused(key, job.island, now_);
    } else if (job.island != settings_.name) {
      fetcher_.want(key, {}, {job.island}, false, now_);
    }
    return;
  }
  fetcher_.done(key);
  merger_.measured(job.round, job.island, job.slab, job.leaf, done.facts);
  if (job.round == current() && round_is_open()) send_have(job.island);
}

void IslandMachine::send_have(const std::string& island) {
  const std::vector<int>& slabs = my_slabs(open_->message.mergers);
  if (slabs.empty()) return;
  std::optional<Have> have = merger_.have(current(), island, slabs);
  if (have) send(kCoordinatorName, current(), open_->fence.attempt, std::move(*have));
}

// The coordinator misses slabs that this merger should have: whoever has not sent them is asked.
void IslandMachine::want_contributions() {
  for (int slab : my_slabs(open_->message.mergers)) {
    for (const std::string& island : others()) {
      if (merger_.find(current(), island, slab) != nullptr) continue;
      fetcher_.want({FetchKind::kContribution, current(), slab, island}, {}, {island}, true, now_);
    }
    auto own = frozen_.find(slab);
    if (own != frozen_.end() && merger_.find(current(), settings_.name, slab) == nullptr) {
      push_contribution(slab);
    }
  }
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Close& close) {
  if (!from_coordinator(from) || fence.term != promised_ || fence.round <= applied_) return;
  if (close_ && fence <= close_->fence) return;
  close_ = {fence, close};
}

void IslandMachine::consider_merging() {
  if (!close_ || close_->fence.round != current()) return;
  if (open_ && open_->fence > close_->fence) return;  // a later attempt has begun
  // This attempt is merged already: all that is left is to get it.
  const bool accepting =
      accept_ && accept_->fence.round == current() && !(close_->fence > accept_->fence);
  if (accepting || commits_.contains(current())) return;
  const Close& close = close_->message;
  merger_.start_attempt(close_->fence);
  for (int slab : my_slabs(close.mergers)) {
    if (merger_.started(slab)) continue;
    MergeJob job{slab, current(), close_->fence.attempt, {}, {}};
    bool all = true;
    for (const RecordEntry& entry : close.delivered) {
      const std::string& island = entry.contribution.island;
      const MergerDesk::Received* received = merger_.find(current(), island, slab);
      if (received == nullptr || !received->measured) {
        all = false;
        if (received == nullptr && island != settings_.name) {
          fetcher_.want({FetchKind::kContribution, current(), slab, island}, {}, {island}, false,
                        now_);
        }
        continue;
      }
      const bool counts = entry.verdict != Verdict::kRejected;
      job.payloads.push_back(counts ? received->bytes : net::Buffer());
      job.weights.push_back(counts ? arithmetic::float_of(entry.weight) : 0.0f);
    }
    if (!all) continue;
    merger_.start(slab);
    work(std::move(job));
  }
}

void IslandMachine::merged(const WorkDone& done, const MergeJob& job) {
  if (!close_ || job.round != current() || close_->fence.attempt != job.attempt || learner_) return;
  if (!done.status.ok()) {
    say("merge", cat("round ", job.round, ": merging ", table_.name_of(job.slab),
                     " failed: ", done.status.message()));
    return;
  }
  merger_.finish(job.slab, {done.leaf, done.bytes, done.facts});
  for (const std::string& island : others()) {
    send(island, job.round, job.attempt, Merged{job.slab, 0, done.leaf, done.bytes});
  }
  add_merged(job.round, job.slab, {done.leaf, done.bytes, settings_.name});
  send_merged_facts();
}

void IslandMachine::send_merged_facts() {
  if (!close_ || close_->fence.round != current() || learner_) return;
  const std::vector<int>& slabs = my_slabs(close_->message.mergers);
  if (slabs.empty()) return;
  std::optional<MergedFacts> facts = merger_.merged(slabs, close_->message.delivered);
  if (facts) send(kCoordinatorName, current(), close_->fence.attempt, std::move(*facts));
}

}  // namespace skarv::wan
