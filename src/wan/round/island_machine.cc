#include "wan/round/island_machine.h"

#include <algorithm>

#include "base/text.h"

namespace skarv::wan {

namespace {

// The newest version that each slab has when every round up to `round` is applied.
int64_t expected_version(const SlabTable& table, int slab, int64_t round) {
  int64_t n = round;
  while (n > 0 && table.fragment_of_round(n) != table[slab].fragment) --n;
  return n;
}

}  // namespace

bool IslandMachine::continues(const LocalState& local, const Restored& restored) {
  if (local.generation != restored.generation || restored.versions.empty()) return false;
  const int64_t applied = *std::max_element(restored.versions.begin(), restored.versions.end());
  if (local.round == applied) return true;
  return local.round + 1 == applied && !local.busy && restored.accepted &&
         restored.accepted->round == applied;
}

IslandMachine::IslandMachine(const SlabTable& table, Settings settings, Restored restored)
    : table_(table),
      settings_(std::move(settings)),
      view_(restored.view.value_or(View{0, {}})),
      promised_(restored.promised),
      generation_(restored.generation + 1),
      life_(restored.num_lives + 1),
      local_(restored.local && continues(*restored.local, restored) ? restored.local
                                                                    : std::nullopt),
      committed_(restored.committed),
      versions_(std::move(restored.versions)),
      accepted_(std::move(restored.accepted)),
      fetcher_(settings_.timers),
      training_(settings_.run, settings_.max_ahead_steps) {
  training_.start_at(restored.step);
  if (local_) {
    generation_ = restored.generation;
    last_lease_id_ = local_->last_lease;
    local_busy_ = local_->busy;
    training_.restore(local_->snapshot_step, std::move(local_->undelivered));
  }
  applied_ = versions_.empty() ? 0 : *std::max_element(versions_.begin(), versions_.end());
  for (int slab = 0; slab < table_.size(); ++slab) {
    // The state is of no single round: a crash in the middle of catching up.
    if (versions_[slab] != expected_version(table_, slab, applied_)) learner_ = true;
  }
  if (applied_ == 0) {
    chain_ = genesis_chain(settings_.handshake);
  } else if (auto found = restored.chains.find(applied_); found != restored.chains.end()) {
    chain_ = found->second;
  }
  if (auto found = restored.chains.find(committed_); found != restored.chains.end()) {
    committed_chain_ = found->second;
  } else if (committed_ == 0) {
    committed_chain_ = genesis_chain(settings_.handshake);
  }
  known_committed_ = committed_;
}

IslandMachine::Actions IslandMachine::take() {
  Actions actions;
  actions.swap(actions_);
  return actions;
}

IslandMachine::Actions IslandMachine::start(Time now) {
  now_ = coordinator_heard_ = now;
  persist_promise();  // the new generation, before anybody hears of it
  work(WithdrawJob{});
  work(RootJob{});
  root_asked_ = true;
  if (local_) go_on();
  if (learner_) {
    start_learning("its outer state stopped between two rounds");
  } else if (!chain_) {
    start_learning(cat("its log does not say how round ", applied_, " came about"));
  }
  return take();
}

void IslandMachine::send(const std::string& to, int64_t round, int64_t attempt, Body body) {
  actions_.push_back(Send{
      to, Message{{settings_.handshake.run_id(), promised_, round, attempt}, std::move(body)}});
}

void IslandMachine::say(const std::string& key, const std::string& text) {
  auto& [last, time] = said_[key];
  if (last == text && now_ - time < settings_.timers.budget) return;
  last = text;
  time = now_;
  actions_.push_back(Say{text});
}

void IslandMachine::halt(Status why) {
  halted_ = true;
  actions_.push_back(Halt{std::move(why)});
}

void IslandMachine::work(Job job) { actions_.push_back(Work{std::move(job)}); }

void IslandMachine::persist_promise() {
  actions_.push_back(PersistIsland{LogPromise{promised_, view_, generation_, life_}});
}

bool IslandMachine::finished() const {
  return settings_.last_round > 0 && applied_ >= settings_.last_round && !local_busy_ && !learner_;
}

std::vector<std::string> IslandMachine::others() const { return others_first(""); }

std::vector<std::string> IslandMachine::others_first(const std::string& first) const {
  std::vector<std::string> names;
  for (const ViewIsland& island : view_.islands) {
    if (island.name != settings_.name) names.push_back(island.name);
  }
  if (auto found = std::find(names.begin(), names.end(), first); found != names.end()) {
    std::rotate(names.begin(), found, found + 1);
  }
  return names;
}

// --- events

IslandMachine::Actions IslandMachine::received(Time now, const std::string& from,
                                               const Message& message) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  const Fence& fence = message.fence;
  const bool coordinator = from_coordinator(from);
  if (!coordinator && view_.size() > 0 && view_.index_of(from) < 0) return {};
  if (const auto* refused = std::get_if<Refused>(&message.body)) {
    if (coordinator) on(from, fence, *refused);
    return take();
  }
  if (fence.run != settings_.handshake.run_id()) {
    say("run " + from, cat("a message of ", from, " belongs to another run or model; refused"));
    send(from, 0, 0, Refused{"the message belongs to another run or model"});
    return take();
  }
  const bool fenced = std::holds_alternative<Fenced>(message.body);
  const bool promise = std::holds_alternative<Promise>(message.body);
  if (fence.term < promised_ && !fenced) {
    send(from, fence.round, fence.attempt, Fenced{promised_, false, "a message of an older term"});
    return take();
  }
  if (fence.term > promised_ && !fenced && !promise && coordinator) {
    // A coordinator that it has not promised anything to: ask for its PROMISE first.
    if (!std::holds_alternative<Peers>(message.body)) {
      send(from, 0, 0, settings_.handshake.hello(settings_.address));
      return take();
    }
  }
  if (coordinator) coordinator_heard_ = now_;
  std::visit([&](const auto& body) { on(from, fence, body); }, message.body);
  if (!halted_) advance();
  return take();
}

IslandMachine::Actions IslandMachine::connected(Time now, const std::string& peer) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (from_coordinator(peer)) {
    send(peer, 0, 0, settings_.handshake.hello(settings_.address));
  } else {
    fetcher_.reconnected(peer);
    push_again(peer);
    advance();
  }
  return take();
}

IslandMachine::Actions IslandMachine::progress(Time now, const std::string& peer) {
  now_ = taught_ = std::max(now_, now);
  fetcher_.progress(peer, now_);
  return {};
}

IslandMachine::Actions IslandMachine::tick(Time now) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (promised_.epoch == 0) {
    send(kCoordinatorName, 0, 0, settings_.handshake.hello(settings_.address));
  } else {
    send_beat();
  }
  if (lease_wanted_ && promised_.epoch > 0) send(kCoordinatorName, 0, 0, *lease_wanted_);
  if (now_ - coordinator_heard_ > settings_.timers.silent) {
    say("coordinator", cat("no word from the coordinator; training goes on until step ",
                           training_.step_limit(applied_), " is done, then it waits"));
  }
  advance();
  return take();
}

void IslandMachine::send_beat() {
  if (!rooted_ && !learner_) return;  // it cannot tell yet what it holds
  IslandBeat beat;
  beat.applied = learner_ && !state_complete_ ? committed_ : applied_;
  beat.chain = chain_.value_or(Digest{});
  beat.state_root = rooted_ ? state_root_ : Digest{};
  beat.generation = generation_;
  beat.life = life_;
  beat.learner = learner_;
  if (round_is_open()) beat.open_attempt = open_->fence.attempt;
  if (close_ && close_->fence.round == current()) beat.closed_attempt = close_->fence.attempt;
  beat.offered = offer_.has_value();
  if (intake_ && intake_->accept_logged) beat.accepted = intake_->digest;
  beat.step = training_.step();
  beat.checkpoint = checkpoint_;
  beat.missing_from = fetcher_.owing();
  send(kCoordinatorName, beat.applied, 0, std::move(beat));
}

IslandMachine::Actions IslandMachine::work_done(Time now, const WorkDone& done) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (const auto* freeze = std::get_if<FreezeJob>(&done.job)) {
    frozen(done, *freeze);
  } else if (const auto* measure = std::get_if<MeasureJob>(&done.job)) {
    measured(done, *measure);
  } else if (const auto* merge = std::get_if<MergeJob>(&done.job)) {
    merged(done, *merge);
  } else if (const auto* hold = std::get_if<HoldJob>(&done.job)) {
    held(done, *hold);
  } else if (const auto* seal = std::get_if<SealJob>(&done.job)) {
    if (!done.status.ok()) {
      halt(done.status.wrap("writing the payload log"));
    } else if (intake_ && intake_->digest == seal->record) {
      intake_->sealed = true;
    }
  } else if (const auto* order = std::get_if<ApplyJob>(&done.job)) {
    applied(done, *order);
  } else if (const auto* replay = std::get_if<ReplayJob>(&done.job)) {
    replayed(done, *replay);
  } else if (const auto* install = std::get_if<InstallJob>(&done.job)) {
    installed(done, *install);
  } else if (const auto* load = std::get_if<LoadJob>(&done.job)) {
    loaded(done, *load);
  } else if (std::holds_alternative<RootJob>(done.job)) {
    rooted(done);
  }
  if (!halted_) advance();
  return take();
}

IslandMachine::Actions IslandMachine::step_done(Time now, int64_t step, int64_t tokens,
                                                const std::vector<SampleRange>& samples) {
  now_ = std::max(now_, now);
  training_.step_done(step, tokens, samples);
  return take();
}

IslandMachine::Actions IslandMachine::local_applied(Time now, int64_t token) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (token == local_token_) {
    local_busy_ = false;
    // Steps that were under way when the weights were given up.
    if (std::exchange(local_void_, false)) {
      training_.reset();
      if (exact()) training_.start_at(applied_);
    }
  }
  advance();
  return take();
}

IslandMachine::Actions IslandMachine::local_undone(Time now, int64_t token) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (token == local_token_) {
    local_busy_ = true;
  } else if (!local_void_) {
    // The keeper has the two sides of one round only.
    frozen_.clear();
    work(WithdrawJob{});
    reset_local("its workers were lost while a newer round was applied");
    snapshot_asked_ = frozen_round_ = 0;
  }
  advance();
  return take();
}

IslandMachine::Actions IslandMachine::request_lease(Time now, uint64_t count) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  if (!lease_wanted_) lease_wanted_ = LeaseRequest{++last_lease_id_, generation_, count};
  if (promised_.epoch > 0) send(kCoordinatorName, 0, 0, *lease_wanted_);
  return take();
}

IslandMachine::Actions IslandMachine::checkpointed(Time now, int64_t round) {
  now_ = std::max(now_, now);
  checkpoint_ = std::max(checkpoint_, round);
  advance();
  return take();
}

// --- messages that belong to no round

void IslandMachine::on(const std::string&, const Fence&, const Refused& refused) {
  halt(Status(Code::kFailedPrecondition, Scope::kRun,
              cat("the coordinator refuses island ", settings_.name, ": ", refused.why)));
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Promise& promise) {
  if (!from_coordinator(from)) return;
  if (promise.view.index_of(settings_.name) < 0) {
    return halt(Status(Code::kFailedPrecondition, Scope::kRun,
                       cat("island ", settings_.name, " is not in view ", promise.view.version))
                    .with_hint("use the name that the plan gives this island"));
  }
  if (fence.term > promised_ || !(promise.view == view_)) {
    promised_ = fence.term;
    view_ = promise.view;
    placed_round_ = -1;
    persist_promise();
    // Attempts are counted anew by each coordinator; contributions and bytes stay valid (rule 4).
    open_.reset();
    close_.reset();
    accept_.reset();
    beat_.reset();
    actions_.push_back(Note{"promised", {{"epoch", promised_.epoch}, {"view", promised_.view}}});
  }
  Promised promised;
  promised.committed = committed_;
  promised.chain = committed_chain_;
  promised.accepted = accepted_ && accepted_->round > committed_ ? accepted_ : std::nullopt;
  promised.bytes_held =
      accepted_ && intake_ && intake_->sealed && intake_->digest == digest_of(*accepted_);
  promised.newest_view = view_;
  promised.generation = generation_;
  send(from, committed_, 0, std::move(promised));
  if (offer_) send_offer();
}

void IslandMachine::on(const std::string& from, const Fence&, const Peers& peers) {
  if (!from_coordinator(from)) return;
  for (const auto& [name, address] : peers.addresses) {
    if (name == settings_.name || address.empty() || addresses_[name] == address) continue;
    addresses_[name] = address;
    actions_.push_back(PeerAddress{name, address});
  }
}

void IslandMachine::on(const std::string& from, const Fence& fence, const Fenced& fenced) {
  if (!from_coordinator(from)) return;
  if (fenced.promised > promised_) {
    send(from, 0, 0, settings_.handshake.hello(settings_.address));
  } else if (fenced.state_differs && fence.term == promised_ && !learner_) {
    start_learning(cat("its outer state is not what the majority has (", fenced.why, ")"));
  }
}

void IslandMachine::on(const std::string& from, const Fence& fence, const CoordinatorBeat& beat) {
  if (!from_coordinator(from) || fence.term != promised_) return;
  beat_ = beat;
  known_committed_ = std::max(known_committed_, beat.committed);
  const bool current_round = fence.round == current();
  if ((beat.awaits & kAwaitsOffer) && current_round && offer_) send_offer();
  if ((beat.awaits & kAwaitsHave) && current_round && round_is_open()) {
    for (const std::string& island : beat.doubtful) {
      // Once they are complete here; while they are on their way, they stay.
      if (merger_.have(current(), island, my_slabs(open_->message.mergers))) {
        merger_.forget(current(), island);
        if (island == settings_.name) continue;
        for (int slab : my_slabs(open_->message.mergers)) {
          fetcher_.want({FetchKind::kContribution, current(), slab, island}, {}, {island}, false,
                        now_);
        }
      }
    }
    want_contributions();
    for (const std::string& island : merger_.islands_of(current())) send_have(island);
  }
  if ((beat.awaits & kAwaitsMerged) && current_round) send_merged_facts();
  if ((beat.awaits & kAwaitsAccepted) && current_round) send_accepted();
  if ((beat.awaits & kAwaitsApplied) && rooted_ && !learner_ && chain_) {
    send(kCoordinatorName, applied_, 0, Applied{*chain_, state_root_});
  }
}

void IslandMachine::on(const std::string& from, const Fence&, const Lease& lease) {
  if (!from_coordinator(from) || !lease_wanted_) return;
  if (lease.id != lease_wanted_->id || lease.generation != generation_) return;
  lease_wanted_.reset();
  actions_.push_back(LeaseGranted{lease.generation, lease.id, lease.ranges});
}

// --- moving on

void IslandMachine::advance() {
  if (halted_) return;
  if (learner_) {
    consider_learning();
  } else if (rooted_) {
    consider_snapshot();
    consider_merging();
  }
  if (!learner_ || state_complete_) consider_intake();
  for (const Fetcher::Ask& ask : fetcher_.poll(now_)) {
    send(ask.to, ask.key.round, 0, Fetch{ask.key.kind, ask.key.slab, ask.digest});
  }
  if (const int64_t limit = training_.step_limit(applied_); limit != step_limit_sent_) {
    step_limit_sent_ = limit;
    actions_.push_back(StepLimit{limit});
  }
  const int64_t keep = std::min(retain_from_, checkpoint_ + 1);
  if (keep > pruned_) {
    pruned_ = keep;
    work(PruneJob{keep});
  }
}

}  // namespace skarv::wan
