// The invariants of protocol.md, 6, asked at every step of a simulated run.
#include <cmath>

#include "base/text.h"
#include "wan/payload.h"
#include "wan/round/simulator_nodes.h"

namespace skarv::wan {

void Simulator::check_send(int i, const Message& message) {
  const bool learner = islands_[i]->machine->learner();
  const auto* fetched = std::get_if<Fetched>(&message.body);
  const bool votes = std::holds_alternative<Accepted>(message.body) ||
                     std::holds_alternative<Merged>(message.body) ||
                     std::holds_alternative<MergedFacts>(message.body) ||
                     (fetched != nullptr && !fetched->absent);
  if (learner && votes) fail(cat("I8: learner ", names_[i], " sends ", name_of(message.body)));
}

void Simulator::check_job(int i, const Job& job) {
  Island& node = *islands_[i];
  if (const auto* freeze = std::get_if<FreezeJob>(&job)) {
    const int fragment = (*table_)[freeze->slab].fragment;
    // What comes of one for a round that is over is dropped.
    if (freeze->round > node.machine->applied() && freeze->base != node.base[fragment]) {
      fail(cat("I6: ", names_[i], " freezes on base ", freeze->base, ", x stands on ",
               node.base[fragment]));
    }
  }
  if (const auto* merge = std::get_if<MergeJob>(&job)) check_merge(i, *merge);
  if (const auto* apply = std::get_if<ApplyJob>(&job)) check_apply(i, apply->order);
}

void Simulator::check_merge(int i, const MergeJob& job) {
  for (const net::Buffer& bytes : job.payloads) {
    if (bytes.empty()) continue;  // the gate refused it
    const auto found = frozen_base_.find(
        payload_leaf(PayloadKind::kContribution, job.slab, job.round, bytes.span()));
    if (found == frozen_base_.end()) {
      return fail(cat("I6: ", names_[i], " merges into round ", job.round, " what nobody froze"));
    }
    if (found->second != previous_round(*table_, job.round)) {
      return fail(cat("I6: ", names_[i], " merges into round ", job.round,
                      " a contribution on base ", found->second));
    }
  }
}

void Simulator::check_apply(int i, const ApplyOrder& order) {
  const Island& node = *islands_[i];
  if (order.round > static_cast<int64_t>(ledger_.size())) {
    return fail(cat("I3: ", names_[i], " applies round ", order.round, ", not committed"));
  }
  const Record& record = ledger_[static_cast<size_t>(order.round - 1)].record;
  const RecordEntry* entry = record.find(names_[i]);
  const bool counts = entry != nullptr && entry->verdict != Verdict::kRejected;
  std::vector<Digest> named, frozen;
  for (const SlabOrder& slab : order.slabs) {
    named.push_back(slab.contribution);
    frozen.push_back(node.keeper->contribution_leaf(slab.slab));
  }
  if (order.delivery == Delivery::kIncluded) {
    if (!counts || entry->contribution.root != merkle_root(named)) {
      fail(cat("I5: ", names_[i], " advances e for a contribution that is not in record ",
               order.round));
    }
  } else if (counts && entry->contribution.root == merkle_root(frozen) &&
             entry->contribution.generation == node.machine->generation()) {
    fail(cat("I5: ", names_[i], " does not advance e, but record ", order.round,
             " lists what is frozen here"));
  }
}

// Nothing that could be lost with fewer than D islands.
void Simulator::check_kept(const Record& record) {
  int num_held = 0;
  for (const auto& island : islands_) {
    std::vector<Digest> leaves;
    for (int slab : table_->slabs_of_fragment(record.fragment)) {
      const Result<StoredPayload> stored = island->payloads.load(record.round, slab);
      if (stored.ok()) leaves.push_back(stored->leaf);
    }
    num_held += merkle_root(leaves) == record.payload_root;
  }
  if (num_held < quorum_of(options_.num_islands, run_.exchange.durable_copies)) {
    fail(cat("I4: round ", record.round, " is committed with bytes on ", num_held));
  }
}

void Simulator::check_commit(const CommittedRound& row) {
  const int64_t n = row.record.round;
  if (n != static_cast<int64_t>(ledger_.size()) + 1) return fail(cat("I1: record ", n, " twice"));
  const Digest before = ledger_.empty() ? genesis_chain(handshake_) : ledger_.back().chain;
  if (row.record.previous_chain != before) fail("I2: the chain is broken");
  if (row.record.term.epoch != stored_epoch_) fail("I7: a record of another epoch");
  check_kept(row.record);
  for (const CommittedRound& earlier : ledger_) check_kept(earlier.record);
  int num_promised = 0;
  for (int i = 0; i < options_.num_islands; ++i) {
    for (const LogEntry& entry : islands_[i]->log) {
      const auto* accept = std::get_if<LogAccept>(&entry);
      if (accept != nullptr && accept->record == row.record) {
        ++num_promised;
        break;
      }
    }
  }
  const int quorum = quorum_of(options_.num_islands, run_.exchange.durable_copies);
  if (num_promised < quorum)
    fail(cat("I7: round ", n, " committed with ", num_promised, " accepts"));
}

void Simulator::check_applied(int i) {
  const IslandMachine& machine = *islands_[i]->machine;
  const int64_t n = machine.applied();
  if (n > static_cast<int64_t>(ledger_.size())) return fail(cat("I3: applied ", n, " too early"));
  if (machine.chain() != ledger_[static_cast<size_t>(n - 1)].chain) fail("I2: chains differ");
  for (int slab = 0; slab < table_->size(); ++slab) {
    int64_t expected = n;
    while (expected > 0 && table_->fragment_of_round(expected) != (*table_)[slab].fragment)
      --expected;
    if (islands_[i]->keeper->version(slab) != expected) fail("I2: a slab has a wrong version");
  }
  if (corrupted_.contains(i)) return;
  auto [found, fresh] = applied_roots_.emplace(n, machine.state_root());
  if (found->second != machine.state_root()) fail(cat("state roots differ after round ", n));
  auto earlier = applied_roots_.find(n - 1);
  if (earlier != applied_roots_.end() && earlier->second == found->second) {
    fail(cat("round ", n, " changed nothing"));
  }
}

std::string Simulator::check_end() {
  for (const CommittedRound& row : ledger_) check_kept(row.record);
  if (!failure_.empty()) return failure_;
  for (int i = 0; i < options_.num_islands; ++i) {
    if (outer_weights(i) != outer_weights(0)) return "outer weights differ at the end";
    for (const LogEntry& entry : islands_[i]->log) {
      const auto* commit = std::get_if<LogCommit>(&entry);
      if (commit == nullptr || commit->record.is_zero()) continue;
      const CommittedRound& row = ledger_[static_cast<size_t>(commit->round - 1)];
      if (digest_of(row.record) != commit->record) return "I1: an island logged another record";
    }
  }
  // Each sample that the ledger lists, once; and the book says the same.
  SampleSet used;
  for (const CommittedRound& row : ledger_) {
    for (const RecordEntry& entry : row.record.delivered) {
      if (entry.verdict == Verdict::kRejected) continue;
      for (const SampleRange& range : entry.contribution.samples) {
        if (used.overlaps(range)) return cat("seed ", options_.seed, ": a sample is counted twice");
        used.add(range);
      }
    }
  }
  const LeaseBook& book = coordinator_->machine->book();
  if (const Status status = book.check(); !status.ok()) return status.to_string();
  if (book.used_ranges() != used.ranges()) return "the lease book and the ledger differ";
  return "";
}

}  // namespace skarv::wan
