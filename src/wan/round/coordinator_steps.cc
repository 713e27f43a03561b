// The part of the coordinator's machine that moves a round from one state to the next.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "wan/round/coordinator_machine.h"

namespace skarv::wan {

using State = CoordinatorRound::State;

// --- moving on

void CoordinatorMachine::advance() {
  if (phase_ == Phase::kPromises) check_promises();
  if (phase_ != Phase::kRunning) return;
  if (settled_ < committed_) settle();
  if (!round_) open_round();
  if (!round_) return;
  if (round_->state() == State::kOpen) consider_closing();
  if (halted_) return;
  if (round_ && round_->state() == State::kClosed && round_->merged()) propose();
  if (round_ && round_->state() == State::kAccepting &&
      round_->num_accepted() >= quorum_of(view_.size(), settings_.run.exchange.durable_copies)) {
    commit();
  }
  if (round_) consider_stall();
}

// Rule 14. The root after the last commit is what a strict majority of the reports says, and a
// quorum of islands at least.
void CoordinatorMachine::settle() {
  std::map<Digest, int> votes;
  int num_reports = 0;
  for (const auto& [name, member] : members_) {
    if (member.applied != committed_ || member.chain != chain_ || member.learner) continue;
    ++votes[member.state_root];
    ++num_reports;
  }
  const int quorum = quorum_of(view_.size(), settings_.run.exchange.durable_copies);
  for (const auto& [root, count] : votes) {
    if (count < quorum || 2 * count <= num_reports) continue;
    settled_ = committed_;
    state_root_ = root;
    PersistCoordinator persist;
    persist.epoch = term_.epoch;
    persist.settled = {settled_, state_root_};
    actions_.push_back(std::move(persist));
    actions_.push_back(Note{"settled", {{"round", settled_}, {"state_root", root.hex()}}});
    for (const auto& [name, member] : members_) {
      if (member.applied == committed_) repair(name);
    }
    moved_ = now_;
    return;
  }
  if (votes.size() > 1 && num_reports == num_alive()) {
    say("roots", cat("round ", committed_,
                     ": the islands' outer states differ and none has a "
                     "majority; the run pauses"));
  }
}

void CoordinatorMachine::open_round() {
  if (settings_.last_round > 0 && committed_ >= settings_.last_round) return;
  const std::vector<std::string> mergers = usable_islands();
  if (mergers.empty()) return;
  // At a start islands are given time to come: a merger that changes loses its residual.
  const bool all = static_cast<int>(mergers.size()) == view_.size();
  if (!all && now_ - started_ < settings_.timers.silent) return;
  round_ = std::make_unique<CoordinatorRound>(table_, view_, committed_ + 1);
  first_offer_ = want_reached_ = Time{};
  slow_mergers_.clear();
  start_attempt({});
}

void CoordinatorMachine::start_attempt(const std::set<std::string>& without) {
  std::vector<std::string> mergers;
  for (const std::string& island : usable_islands()) {
    if (!without.contains(island)) mergers.push_back(island);
  }
  if (mergers.empty()) mergers = usable_islands();
  if (mergers.empty()) return;
  round_->start_attempt(mergers);
  // Earlier lives of an island's weights count only with bytes that the mergers already have.
  for (const auto& [name, member] : members_) {
    const Offer* offer = round_->offer_of(name);
    if (offer != nullptr && offer->contribution.generation < member.generation &&
        !round_->complete(name)) {
      round_->drop_offer(name);
    }
  }
  moved_ = now_;
  for (const auto& [name, member] : members_) {
    if (member.promised) send(name, Open{round_->fragment(), 1, round_->mergers()});
  }
  actions_.push_back(Note{"open",
                          {{"round", round_->round()},
                           {"attempt", round_->attempt()},
                           {"mergers", join(mergers, ",")}}});
}

void CoordinatorMachine::on(const std::string& from, const Fence& fence, const Offer& offer) {
  Member& member = members_.at(from);
  member.heard = now_;
  if (offer.contribution.island != from) return;
  note_generation(from, offer.contribution.generation);
  if (!round_ || fence.round != round_->round() || round_->state() != State::kOpen) return;
  if (offer.contribution.generation < member.generation) return;
  if (offer.base_chain != chain_ || member.learner) return;
  if (settled_ == committed_ && offer.base_state_root != state_root_) {
    send(from, Fenced{term_, true, "the outer state under this offer is not the others'"});
    return;
  }
  if (!offer.declined && !desk_.holds(offer.contribution)) {
    say("samples " + from, cat("round ", round_->round(), ": ", from,
                               " lists samples that it does not hold; its offer is refused"));
    return;
  }
  if (!round_->add_offer(offer)) return;
  if (first_offer_ == Time{}) first_offer_ = now_;
  moved_ = now_;
  actions_.push_back(Note{"offer",
                          {{"round", round_->round()},
                           {"island", from},
                           {"declined", offer.declined},
                           {"tokens", offer.contribution.tokens},
                           {"steps", offer.contribution.steps}}});
}

void CoordinatorMachine::on(const std::string& from, const Fence& fence, const Have& have) {
  members_.at(from).heard = now_;
  if (!round_ || fence.round != round_->round() || !members_.contains(have.island)) return;
  if (round_->state() != State::kOpen) return;
  moved_ = now_;
  if (const Status status = round_->add_have(from, have); !status.ok()) {
    say("root " + have.island, status.message());
  }
}

void CoordinatorMachine::consider_closing() {
  if (settled_ != committed_ || first_offer_ == Time{}) return;
  // Offers that came before the state root was known.
  for (const auto& [name, member] : members_) {
    const Offer* offer = round_->offer_of(name);
    if (offer == nullptr || offer->base_state_root == state_root_) continue;
    round_->drop_offer(name);
    send(name, Fenced{term_, true, "the outer state under this offer is not the others'"});
  }
  const ExchangeSettings& exchange = settings_.run.exchange;
  const bool exact = exchange.mode == ExchangeMode::kGradient;
  const int num_complete = static_cast<int>(round_->complete_islands().size());
  int num_expected = 0, num_pending = 0;
  bool owed_patience = false;
  for (const auto& [name, member] : members_) {
    const bool complete = round_->complete(name);
    // Until views change, silence stands for eviction: nobody waits for an island that is gone.
    if (!exact && !alive(member) && !complete) continue;
    ++num_expected;
    if (complete || (round_->declined(name) && !exact)) continue;
    ++num_pending;
    owed_patience |= member.num_excluded_in_row >= 2;
  }
  const int wanted = exchange.contributions == 0 || exact
                         ? num_expected
                         : std::min(exchange.contributions, num_expected);
  if (num_complete >= wanted && want_reached_ == Time{}) want_reached_ = now_;
  bool close = num_pending == 0;
  if (!exact) {
    close |= num_complete >= wanted && !owed_patience && want_reached_ != Time{} &&
             now_ - want_reached_ >= settings_.timers.grace;
    close |= now_ - first_offer_ >= settings_.timers.budget;
  }
  if (!close || num_complete == 0) return;
  if (num_complete < exchange.min_contributors) {
    say("few", cat("round ", round_->round(), " has ", num_complete, " of at least ",
                   exchange.min_contributors, " contributors; the run pauses"));
    return;
  }
  if (const Status status = round_->close(exchange); !status.ok()) {
    say("none", status.message());
    return;
  }
  moved_ = now_;
  for (const auto& [name, member] : members_) {
    if (member.promised) send(name, Close{round_->delivered(), round_->mergers()});
  }
  actions_.push_back(Note{"close",
                          {{"round", round_->round()},
                           {"attempt", round_->attempt()},
                           {"contributors", join(round_->complete_islands(), ",")}}});
}

void CoordinatorMachine::on(const std::string& from, const Fence& fence, const MergedFacts& facts) {
  members_.at(from).heard = now_;
  if (!round_ || fence.round != round_->round() || fence.attempt != round_->attempt()) return;
  if (round_->add_merged(from, facts)) moved_ = now_;
}

OuterScalars CoordinatorMachine::scalars() const {
  const ExchangeSettings& exchange = settings_.run.exchange;
  auto bits = [](double value) { return arithmetic::bits_of(static_cast<float>(value)); };
  if (exchange.mode == ExchangeMode::kLocal) {
    return arithmetic::NesterovScalars{bits(exchange.learning_rate), bits(exchange.momentum)};
  }
  const OptimizerSettings& optimizer = settings_.run.optimizer;
  const double step = static_cast<double>(round_->round());
  const double norm = round_->merged_norm();
  arithmetic::AdamScalars adam;
  adam.learning_rate = bits(learning_rate_at(settings_.run, round_->round() - 1));
  adam.beta1 = bits(optimizer.beta1);
  adam.rest1 = bits(1 - optimizer.beta1);
  adam.beta2 = bits(optimizer.beta2);
  adam.rest2 = bits(1 - optimizer.beta2);
  adam.epsilon = bits(optimizer.epsilon);
  adam.weight_decay = bits(optimizer.weight_decay);
  adam.clip = bits(optimizer.clip > 0 && norm > optimizer.clip ? optimizer.clip / norm : 1.0);
  adam.correction1 = bits(1 - std::pow(optimizer.beta1, step));
  adam.root_correction2 = bits(std::sqrt(1 - std::pow(optimizer.beta2, step)));
  return adam;
}

void CoordinatorMachine::propose() {
  Record record;
  record.round = round_->round();
  record.term = term_;
  record.attempt = round_->attempt();
  record.fragment = round_->fragment();
  record.delivered = round_->delivered();
  record.scalars = scalars();
  const ExchangeSettings& exchange = settings_.run.exchange;
  record.alpha = arithmetic::bits_of(
      exchange.mode == ExchangeMode::kGradient ? 0.0f : static_cast<float>(exchange.alpha));
  record.upload_version = settings_.handshake.upload_version;
  record.download_version = settings_.handshake.download_version;
  record.arithmetic_version = arithmetic::kVersion;
  record.payload_root = merkle_root(round_->leaves());
  record.base_state_root = state_root_;
  record.previous_chain = chain_;
  round_->propose(std::move(record));
  moved_ = now_;
  for (const auto& [name, member] : members_) {
    if (member.promised) send(name, Accept{round_->record(), round_->leaves()});
  }
}

void CoordinatorMachine::on(const std::string& from, const Fence& fence, const Accepted& accepted) {
  Member& member = members_.at(from);
  member.heard = now_;
  if (!round_ || fence.round != round_->round() || member.learner) return;
  if (round_->add_accepted(from, accepted.record)) moved_ = now_;
}

void CoordinatorMachine::commit() {
  const Record record = round_->record();
  // Each sample counted once: the book refuses a range that its holder does not hold any more.
  for (const RecordEntry& entry : record.delivered) {
    if (entry.verdict == Verdict::kRejected) continue;
    const Contribution& contribution = entry.contribution;
    const Status status = desk_.used(contribution);
    if (!status.ok()) return halt(status.wrap("counting the samples of a round"));
  }
  chain_ = chain_after(record);
  committed_ = record.round;
  PersistCoordinator persist;
  persist.epoch = term_.epoch;
  persist.committed = CommittedRound{record, chain_};
  const Fence at = fence();
  Json contributors = Json::array();
  for (auto& [name, member] : members_) {
    const RecordEntry* entry = record.find(name);
    member.num_excluded_in_row = entry == nullptr ? member.num_excluded_in_row + 1 : 0;
    if (entry != nullptr) {
      contributors.push_back({{"island", name},
                              {"tokens", entry->contribution.tokens},
                              {"steps", entry->contribution.steps},
                              {"verdict", skarv::name_of(entry->verdict)}});
    }
  }
  round_.reset();
  for (const auto& [name, member] : members_) release_old_leases(name);
  persist.leases = desk_.to_json();
  actions_.push_back(std::move(persist));
  for (const auto& [name, member] : members_) {
    if (member.promised) actions_.push_back(Send{name, Message{at, Commit{record, retain_from()}}});
  }
  actions_.push_back(Note{"commit",
                          {{"round", record.round},
                           {"attempt", record.attempt},
                           {"fragment", record.fragment},
                           {"chain", chain_.hex()},
                           {"contributors", std::move(contributors)}}});
  moved_ = now_;
}

void CoordinatorMachine::on(const std::string& from, const Fence& fence, const Applied& applied) {
  Member& member = members_.at(from);
  member.heard = now_;
  if (fence.round < member.applied) return;
  if (fence.round > member.applied) moved_ = now_;
  member.applied = fence.round;
  member.chain = applied.chain;
  member.state_root = applied.state_root;
  repair(from);
}

// --- faults

// An attempt in which nothing moves is given up when another choice of mergers may help.
void CoordinatorMachine::consider_stall() {
  if (moved_ == Time{}) return;
  const Duration quiet = now_ - moved_;
  const Timers& timers = settings_.timers;
  std::set<std::string> without;
  if (round_->state() == State::kOpen) {
    // Slabs of complete offers wait for a merger that is gone.
    for (const std::string& merger : round_->mergers()) {
      if (!usable(merger) && round_->owes_have(merger)) without.insert(merger);
    }
    if (without.empty()) return;
  } else if (round_->state() == State::kClosed) {
    const bool patient = quiet < Timers::backed_off(timers.budget, round_->attempt());
    for (const std::string& merger : round_->mergers()) {
      if (!round_->owes_merged(merger)) continue;
      if (!usable(merger) || !patient) without.insert(merger);
    }
    if (without.empty()) return;
  } else {
    if (quiet < Timers::backed_off(timers.stall, round_->attempt())) return;
    for (const auto& [name, member] : members_) {
      if (!usable(name) || round_->accepted(name)) continue;
      for (const std::string& merger : member.beat.missing_from) without.insert(merger);
    }
    if (without.empty()) return;
  }
  if (usable_islands().empty()) return;
  say("attempt", cat("round ", round_->round(), ": attempt ", round_->attempt(),
                     " is given up, its merged slabs did not arrive from ",
                     join({without.begin(), without.end()}, ", ")));
  start_attempt(without);
}

}  // namespace skarv::wan
