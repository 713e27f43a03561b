#include "wan/round/coordinator_machine.h"

#include <algorithm>

#include "base/text.h"

namespace skarv::wan {

using State = CoordinatorRound::State;

CoordinatorMachine::CoordinatorMachine(const SlabTable& table, Settings settings, Restored restored)
    : table_(table),
      settings_(std::move(settings)),
      view_(restored.view.value_or(settings_.view)),
      term_{restored.epoch, view_.version},
      committed_(restored.committed),
      chain_(restored.committed == 0 ? genesis_chain(settings_.handshake) : restored.chain),
      settled_(restored.settled),
      state_root_(restored.state_root),
      desk_(std::move(restored.leases)) {
  for (const ViewIsland& island : view_.islands) members_[island.name];
}

CoordinatorMachine::Actions CoordinatorMachine::take() {
  Actions actions;
  actions.swap(actions_);
  return actions;
}

CoordinatorMachine::Actions CoordinatorMachine::start(Time now) {
  now_ = started_ = now;
  ++term_.epoch;
  PersistCoordinator persist;
  persist.epoch = term_.epoch;
  persist.raise_epoch = true;
  persist.view = view_;
  actions_.push_back(std::move(persist));
  for (auto& [name, member] : members_) member.heard = now;
  actions_.push_back(Note{"epoch", {{"epoch", term_.epoch}, {"committed", committed_}}});
  return take();
}

Fence CoordinatorMachine::fence(int64_t round, int64_t attempt) const {
  return {settings_.handshake.run_id(), term_, round, attempt};
}

Fence CoordinatorMachine::fence() const {
  return round_ ? fence(round_->round(), round_->attempt()) : fence(committed_, 0);
}

void CoordinatorMachine::send(const std::string& to, Body body) {
  actions_.push_back(Send{to, Message{fence(), std::move(body)}});
}

void CoordinatorMachine::say(const std::string& key, const std::string& text) {
  auto& [last, time] = said_[key];
  if (last == text && now_ - time < settings_.timers.budget) return;
  last = text;
  time = now_;
  actions_.push_back(Say{text});
}

void CoordinatorMachine::halt(Status why) {
  halted_ = true;
  actions_.push_back(Halt{std::move(why)});
}

bool CoordinatorMachine::alive(const Member& member) const {
  return now_ - member.heard < settings_.timers.silent;
}

bool CoordinatorMachine::usable(const std::string& island) const {
  const Member& member = members_.at(island);
  return member.promised && !member.learner && alive(member);
}

std::vector<std::string> CoordinatorMachine::usable_islands() const {
  std::vector<std::string> islands;
  for (const ViewIsland& island : view_.islands) {
    if (usable(island.name)) islands.push_back(island.name);
  }
  return islands;
}

int CoordinatorMachine::num_alive() const {
  return static_cast<int>(std::count_if(members_.begin(), members_.end(),
                                        [&](const auto& entry) { return alive(entry.second); }));
}

bool CoordinatorMachine::finished() const {
  if (settings_.last_round == 0 || committed_ < settings_.last_round) return false;
  return settled_ == committed_ &&
         std::all_of(members_.begin(), members_.end(),
                     [&](const auto& entry) { return entry.second.applied == committed_; });
}

CoordinatorMachine::Actions CoordinatorMachine::received(Time now, const std::string& from,
                                                         const Message& message) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  const Fence& fence = message.fence;
  auto found = members_.find(from);
  if (found == members_.end()) {
    send(from, Refused{cat("there is no island ", from, " in this run")});
    return take();
  }
  const bool hello = std::holds_alternative<Hello>(message.body);
  if (fence.run != settings_.handshake.run_id() && !hello) {
    send(from, Refused{"the message belongs to another run or model"});
    return take();
  }
  // A higher term than our own: another coordinator has led since. Only FENCED may tell so.
  const bool answers = hello || std::holds_alternative<Fenced>(message.body);
  if (!answers && fence.term != term_) {
    if (fence.term < term_) {
      send(from, Fenced{term_, false, "a message of an older term"});
      found->second.heard = now_;
      if (found->second.greeted) send(from, Promise{view_});
    }
    return take();
  }
  std::visit([&](const auto& body) { on(from, fence, body); }, message.body);
  if (!halted_) advance();
  return take();
}

CoordinatorMachine::Actions CoordinatorMachine::tick(Time now) {
  if (halted_) return {};
  now_ = std::max(now_, now);
  advance();
  if (halted_) return take();
  for (const ViewIsland& island : view_.islands) {
    Member& member = members_.at(island.name);
    if (!member.greeted) continue;
    if (!member.promised) {
      send(island.name, Promise{view_});
      continue;
    }
    CoordinatorBeat beat;
    beat.committed = committed_;
    beat.chain = chain_;
    beat.settled = settled_;
    beat.state_root = state_root_;
    beat.awaits = awaits_from(island.name);
    beat.awaited = awaited();
    if (round_ && round_->state() == State::kOpen) {
      beat.doubtful = {round_->doubtful().begin(), round_->doubtful().end()};
    }
    send(island.name, std::move(beat));
  }
  const std::vector<std::string> waiting = awaited();
  const Time since = phase_ == Phase::kPromises ? started_ : std::max(moved_, first_offer_);
  const bool due = since != Time{} && now_ - since > settings_.timers.silent;
  if (!waiting.empty() && due) {
    const std::string what = phase_ == Phase::kPromises          ? "promises"
                             : !round_                           ? "the state root"
                             : round_->state() == State::kOpen   ? "contributions"
                             : round_->state() == State::kClosed ? "merged slabs"
                                                                 : "acceptance";
    say("await", cat("round ", committed_ + 1, " waits for ", what, " of ", join(waiting, ", ")));
  }
  return take();
}

// --- meeting

void CoordinatorMachine::on(const std::string& from, const Fence&, const Hello& hello) {
  if (const Status status = settings_.handshake.check(hello, from); !status.ok()) {
    say("refused " + from, cat(from, " is refused: ", status.message()));
    send(from, Refused{cat(status.message(), "; ", status.hint())});
    return;
  }
  Member& member = members_.at(from);
  member.heard = now_;
  member.greeted = true;
  const bool moved = member.address != hello.address;
  member.address = hello.address;
  send(from, Promise{view_});
  if (moved) {
    send_peers();
  } else {
    Peers peers;
    for (const auto& [name, other] : members_) peers.addresses.emplace_back(name, other.address);
    send(from, std::move(peers));
  }
}

void CoordinatorMachine::send_peers() {
  Peers peers;
  for (const auto& [name, member] : members_) peers.addresses.emplace_back(name, member.address);
  for (const auto& [name, member] : members_) {
    if (member.greeted) send(name, peers);
  }
}

void CoordinatorMachine::on(const std::string& from, const Fence&, const Promised& promised) {
  Member& member = members_.at(from);
  if (promised.committed > committed_ || promised.newest_view.version > view_.version) {
    halt(Status(Code::kFailedPrecondition, Scope::kRun,
                cat(from, " knows round ", promised.committed, " of view ",
                    promised.newest_view.version, ", this store only round ", committed_,
                    " of view ", view_.version, ": the store is an older copy"))
             .with_hint("start the coordinator on the newest copy of its store"));
    return;
  }
  if (promised.committed == committed_ && promised.chain != chain_ && !promised.chain.is_zero()) {
    halt(Status(Code::kDataLoss, Scope::kRun,
                cat(from, " has another chain of commits at round ", committed_,
                    ": it belongs to another history"))
             .with_hint("remove that island's state folder, or start the right coordinator"));
    return;
  }
  member.heard = now_;
  member.promised = true;
  note_generation(from, promised.generation);
}

void CoordinatorMachine::on(const std::string& from, const Fence&, const Fenced& fenced) {
  members_.at(from).heard = now_;
  if (fenced.promised.epoch > term_.epoch) {
    halt(
        Status(Code::kPermissionDenied, Scope::kRun,
               cat(from, " has promised epoch ", fenced.promised.epoch, ", this coordinator is at ",
                   term_.epoch, ": a newer coordinator leads the run"))
            .with_hint("stop one of the two coordinators"));
  }
}

void CoordinatorMachine::check_promises() {
  const auto count = std::count_if(members_.begin(), members_.end(),
                                   [](const auto& entry) { return entry.second.promised; });
  if (count < promises_of(view_.size())) return;
  phase_ = Phase::kRunning;
  moved_ = now_;
  actions_.push_back(Note{"promised", {{"epoch", term_.epoch}, {"promises", count}}});
}

// --- repair

std::vector<std::string> CoordinatorMachine::awaited() const {
  std::vector<std::string> islands;
  const bool done = settings_.last_round > 0 && committed_ >= settings_.last_round;
  for (const auto& [name, member] : members_) {
    bool waits = false;
    if (phase_ == Phase::kPromises) {
      waits = !member.promised;
    } else if (!round_ || settled_ != committed_) {
      waits = member.applied != committed_;
    } else if (!done) {
      waits = awaits_from(name) != 0;
    }
    if (waits) islands.push_back(name);
  }
  return islands;
}

uint32_t CoordinatorMachine::awaits_from(const std::string& island) const {
  const Member& member = members_.at(island);
  uint32_t awaits = 0;
  if (member.applied != committed_) awaits |= kAwaitsApplied;
  if (!round_) return awaits;
  if (round_->state() == State::kOpen) {
    const Offer* offer = round_->offer_of(island);
    if (offer == nullptr || offer->declined || offer->contribution.generation < member.generation) {
      awaits |= kAwaitsOffer;
    }
    if (round_->owes_have(island)) awaits |= kAwaitsHave;
  }
  if (round_->owes_merged(island)) awaits |= kAwaitsMerged;
  if (round_->state() == State::kAccepting && !round_->accepted(island)) awaits |= kAwaitsAccepted;
  return awaits;
}

void CoordinatorMachine::on(const std::string& from, const Fence&, const IslandBeat& beat) {
  Member& member = members_.at(from);
  member.heard = now_;
  member.beat = beat;
  member.learner = beat.learner;
  note_generation(from, beat.generation);
  note_life(from, beat.life);
  if (beat.applied > member.applied) moved_ = now_;
  member.applied = beat.applied;
  member.chain = beat.chain;
  member.state_root = beat.state_root;
  repair(from);
}

// Sends again what the island's heartbeat shows that it lacks.
void CoordinatorMachine::repair(const std::string& island) {
  const Member& member = members_.at(island);
  if (!member.promised || phase_ != Phase::kRunning) return;
  constexpr int64_t kCommitsAhead = 8;
  if (member.applied < committed_) {
    const int64_t last = std::min(committed_, member.applied + kCommitsAhead);
    for (int64_t n = std::max<int64_t>(member.applied + 1, 1); n <= last; ++n) {
      actions_.push_back(SendCommitted{island, fence(n, 0), retain_from()});
    }
    return;
  }
  if (member.applied == settled_ && member.state_root != state_root_ && !member.learner) {
    say("state " + island, cat("round ", settled_, ": ", island,
                               " has another outer state than the majority; it fetches it again"));
    send(island, Fenced{term_, true, "the outer state is not the majority's"});
    return;
  }
  if (!round_ || member.beat.applied != member.applied) return;
  const IslandBeat& beat = member.beat;
  if (beat.open_attempt != round_->attempt()) {
    send(island, Open{round_->fragment(), 1, round_->mergers()});
  }
  if (round_->state() != State::kOpen && beat.closed_attempt != round_->attempt()) {
    send(island, Close{round_->delivered(), round_->mergers()});
  }
  if (round_->state() == State::kAccepting && beat.accepted != round_->record_digest()) {
    send(island, Accept{round_->record(), round_->leaves()});
  }
}

int64_t CoordinatorMachine::retain_from() const {
  int64_t least = committed_;
  for (const auto& [name, member] : members_) {
    least = std::min({least, std::max<int64_t>(member.applied, 0), member.beat.checkpoint});
  }
  return least + 1;
}

// --- samples

void CoordinatorMachine::persist_leases() {
  PersistCoordinator persist;
  persist.epoch = term_.epoch;
  persist.leases = desk_.to_json();
  actions_.push_back(std::move(persist));
}

void CoordinatorMachine::note_generation(const std::string& island, int64_t generation) {
  Member& member = members_.at(island);
  if (generation <= member.generation) return;
  member.generation = generation;
  // What the old weights trained on is gone with them, unless a closed round still carries it.
  if (round_ && round_->state() == State::kOpen) {
    const Offer* offer = round_->offer_of(island);
    if (offer != nullptr && offer->contribution.generation < generation) round_->drop_offer(island);
  }
  if (release_old_leases(island)) persist_leases();
}

// A restarted merger has lost what it held for the others.
void CoordinatorMachine::note_life(const std::string& island, int64_t life) {
  Member& member = members_.at(island);
  if (life <= member.life) return;
  member.life = life;
  if (!round_) return;
  // Where its merging is done already, that counts once the attempt fails.
  round_->forget_merger(island);
  if (round_->state() == State::kClosed) start_attempt({});
}

bool CoordinatorMachine::release_old_leases(const std::string& island) {
  const int64_t generation = members_.at(island).generation;
  const Offer* offer = round_ ? round_->offer_of(island) : nullptr;
  if (offer != nullptr && offer->contribution.generation < generation) return false;
  const uint64_t released = desk_.release_before(island, generation);
  if (released > 0) {
    actions_.push_back(Note{"released", {{"island", island}, {"samples", released}}});
  }
  return released > 0;
}

void CoordinatorMachine::on(const std::string& from, const Fence&, const LeaseRequest& request) {
  Member& member = members_.at(from);
  member.heard = now_;
  note_generation(from, request.generation);
  if (request.generation < member.generation) return;
  Lease answer;
  const Result<bool> granted =
      desk_.grant(from, request, view_.lane_of(from, settings_.run.steps_per_round()), &answer);
  if (!granted.ok()) return say("lease", granted.status().message());
  if (*granted) persist_leases();
  if (answer.id != 0) send(from, std::move(answer));
}

Json CoordinatorMachine::status(Time now) const {
  Json islands = Json::array();
  for (const auto& [name, member] : members_) {
    islands.push_back({{"name", name},
                       {"heard_seconds_ago", to_seconds(now - member.heard)},
                       {"promised", member.promised},
                       {"learner", member.learner},
                       {"applied", member.applied},
                       {"step", member.beat.step},
                       {"address", member.address}});
  }
  Json awaited_names = Json::array();
  for (const std::string& name : awaited()) awaited_names.push_back(name);
  return {{"epoch", term_.epoch},
          {"view", term_.view},
          {"committed", committed_},
          {"state_root", state_root_.hex()},
          {"samples_used", desk_.book().num_used()},
          {"islands", std::move(islands)},
          {"awaited", std::move(awaited_names)}};
}

}  // namespace skarv::wan
