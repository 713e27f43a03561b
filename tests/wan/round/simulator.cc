#include "wan/round/simulator.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "base/text.h"
#include "wan/round/simulator_nodes.h"

namespace skarv::wan {

namespace {

Model tiny_model() {
  return {.vocabulary = 16,
          .hidden = 4,
          .num_blocks = 2,
          .num_heads = 2,
          .num_kv_heads = 1,
          .head_dim = 2,
          .ffn = 8,
          .context = 8};
}

}  // namespace

SimOptions quick(int num_islands) {
  SimOptions options;
  options.num_islands = num_islands;
  options.exchange.inner_steps = 4;
  options.exchange.detection_seconds = 0.5;
  options.exchange.round_budget_seconds = 5;
  options.rounds = 5;
  options.faults_end_seconds = 0;
  return options;
}

Simulator::Simulator(SimOptions options) : options_(std::move(options)), random_(options_.seed) {
  run_.name = "simulation";
  run_.seed = options_.seed;
  run_.model = tiny_model();
  run_.exchange = options_.exchange;
  run_.exchange.num_fragments = options_.num_fragments;
  run_.optimizer = options_.optimizer;
  run_.global_batch = 1;
  run_.steps = options_.rounds * std::max<int64_t>(1, run_.steps_per_round());
  table_ = std::make_unique<SlabTable>(run_.model, options_.num_fragments);
  handshake_ = Handshake::of(run_, *table_).value();
  timers_ = Timers::from(run_.exchange).value();
  for (int i = 0; i < options_.num_islands; ++i) {
    names_.push_back(std::string(1, static_cast<char>('a' + i)));
    view_.islands.push_back({names_.back(), 1.0 + i});
    islands_.push_back(std::make_unique<Island>());
  }
  coordinator_ = std::make_unique<Coordinator>();
  start_coordinator();
  for (int i = 0; i < options_.num_islands; ++i) start_island(i);
  if (options_.crash_rate > 0 || options_.cut_rate > 0) storm();
}

Simulator::~Simulator() = default;

// --- time and chance

void Simulator::after(double seconds, std::function<void()> act) {
  events_.push({now_ + from_seconds(seconds), order_++, std::move(act)});
}
double Simulator::uniform() { return std::uniform_real_distribution<double>(0, 1)(random_); }
bool Simulator::chance(double probability) { return probability > 0 && uniform() < probability; }
bool Simulator::faulty() const { return now_seconds() < options_.faults_end_seconds; }
void Simulator::fail(const std::string& what) {
  if (failure_.empty()) failure_ = cat("seed ", options_.seed, " at ", now_seconds(), " s: ", what);
}

bool Simulator::run_until(const std::function<bool()>& done, double seconds) {
  const Time end = now_ + from_seconds(seconds);
  while (failure_.empty() && !done()) {
    if (events_.empty() || events_.top().at > end) return false;
    const Event event = events_.top();
    events_.pop();
    now_ = std::max(now_, event.at);
    event.act();
  }
  return failure_.empty();
}

std::string Simulator::run() {
  auto done = [&] {
    for (const auto& island : islands_) {
      if (!island->up || !island->machine->finished()) return false;
    }
    return coordinator_->up && coordinator_->machine->finished();
  };
  const bool finished = run_until(done, options_.limit_seconds);
  if (!failure_.empty()) return failure_;
  if (!finished) {
    std::string text =
        cat("seed ", options_.seed, ": no end after ", options_.limit_seconds, " s;");
    if (coordinator_->up) text += coordinator_->machine->status(now_).dump();
    for (int i = 0; i < options_.num_islands; ++i) {
      text += cat("; ", names_[i], islands_[i]->up ? " up" : " down", " applied ", applied(i),
                  " step ", islands_[i]->step, "/", islands_[i]->limit, " learner ",
                  islands_[i]->up && islands_[i]->machine->learner());
    }
    return text + (sayings_.empty() ? "" : "; last: " + sayings_.back());
  }
  return check_end();
}

// --- nodes

void Simulator::start_coordinator() {
  Coordinator& node = *coordinator_;
  node.up = true;
  const uint64_t life = ++node.life;
  CoordinatorMachine::Settings settings{run_, timers_, handshake_, view_, options_.rounds};
  CoordinatorMachine::Restored restored;
  restored.epoch = stored_epoch_;
  restored.view = stored_view_;
  if (!ledger_.empty()) {
    restored.committed = ledger_.back().record.round;
    restored.chain = ledger_.back().chain;
  }
  if (!settled_.empty()) {
    restored.settled = settled_.rbegin()->first;
    restored.state_root = settled_.rbegin()->second;
  }
  if (leases_) restored.leases = LeaseDesk::from_json(*leases_).value();
  node.machine =
      std::make_unique<CoordinatorMachine>(*table_, std::move(settings), std::move(restored));
  act_coordinator(node.machine->start(now_));
  after(0.001, [this, life] { tick_coordinator(life); });
  for (int i = 0; i < options_.num_islands; ++i) {
    after(0.02 + 0.02 * uniform(), [this, i] {
      if (islands_[i]->up && coordinator_->up) {
        act(i, islands_[i]->machine->connected(now_, kCoordinatorName));
      }
    });
  }
}

void Simulator::crash_coordinator(double down_seconds) {
  if (!coordinator_->up) return;
  coordinator_->up = false;
  ++coordinator_->life;
  after(down_seconds, [this] { start_coordinator(); });
}

void Simulator::tick_coordinator(uint64_t life) {
  if (life != coordinator_->life || !coordinator_->up) return;
  act_coordinator(coordinator_->machine->tick(now_));
  after(to_seconds(timers_.beat), [this, life] { tick_coordinator(life); });
}

void Simulator::start_island(int i) {
  Island& node = *islands_[i];
  node.up = true;
  const uint64_t life = ++node.life;
  KeeperSettings settings;
  for (int slab = 0; slab < table_->size(); ++slab) settings.slabs.push_back(slab);
  settings.upload = run_.exchange.upload;
  settings.download = run_.exchange.download;
  settings.exact = run_.exchange.mode == ExchangeMode::kGradient;
  settings.residual_decay = static_cast<float>(run_.exchange.residual_decay);
  if (node.region.empty()) {
    node.region.resize(static_cast<size_t>(KeeperMemory::bytes_for(*table_, settings)) + 64);
  }
  auto* begin = node.region.data();
  begin += (64 - reinterpret_cast<uintptr_t>(begin) % 64) % 64;
  auto memory = KeeperMemory::adopt(
      {begin, node.region.size() - static_cast<size_t>(begin - node.region.data())}, *table_,
      settings);
  node.keeper = std::make_unique<KeeperStore>(*table_, std::move(memory).value());
  const std::vector<float> initial = initial_weights();
  int64_t offset = 0;
  for (int slab = 0; slab < table_->size(); ++slab) {
    const int64_t size = (*table_)[slab].size();
    if (node.keeper->version(slab) == kNoVersion) {
      const Status status = node.keeper->initialize(
          slab, std::span(initial).subspan(static_cast<size_t>(offset), static_cast<size_t>(size)));
      if (!status.ok()) return fail(status.to_string());
    }
    offset += size;
  }
  node.merger = std::make_unique<MergerStore>(*table_, run_.exchange.upload, run_.exchange.download,
                                              static_cast<float>(run_.exchange.residual_decay));
  node.work = std::make_unique<KeeperWork>(
      names_[i], *node.keeper, *node.merger, node.payloads, run_.exchange.upload,
      [this, i](int64_t round, int slab) -> Result<std::span<const float>> {
        auto found = islands_[i]->frozen.find(round);
        if (found == islands_[i]->frozen.end()) return bug("no snapshot of this round");
        int64_t begin = 0;
        for (int s = 0; s < slab; ++s) begin += (*table_)[s].size();
        return std::span<const float>(found->second)
            .subspan(static_cast<size_t>(begin), static_cast<size_t>((*table_)[slab].size()));
      });

  IslandMachine::Settings machine{names_[i], "sim:" + names_[i], run_, timers_, handshake_,
                                  0,         options_.rounds};
  IslandMachine::Restored restored;
  for (const LogEntry& entry : node.log) {
    if (const auto* promise = std::get_if<LogPromise>(&entry)) {
      restored.promised = promise->term;
      if (promise->view.size() > 0) restored.view = promise->view;
      restored.generation = promise->generation;
      restored.num_lives = promise->life;
    } else if (const auto* accept = std::get_if<LogAccept>(&entry)) {
      restored.accepted = accept->record;
    } else if (const auto* commit = std::get_if<LogCommit>(&entry)) {
      restored.committed = commit->round;
      restored.chains[commit->round] = commit->chain;
    }
  }
  for (int slab = 0; slab < table_->size(); ++slab) {
    restored.versions.push_back(node.keeper->version(slab));
  }
  restored.step = settings.exact ? node.keeper->version(0) : node.step;
  node.step = restored.step;
  node.worker_free = now_;
  node.x = outer_weights(i);
  journal_.push_back({Moment::What::kStart, i, node.keeper->version(0), -1, {}, {}});
  node.base.clear();
  for (int slab = 0; slab < table_->size(); ++slab) {
    node.base[(*table_)[slab].fragment] = node.keeper->version(slab);
  }
  node.limit = 0;
  node.computing = node.wants_lease = false;
  node.lease = {};
  node.snapshots.clear();
  node.applies.clear();
  const LocalState local = node.journal.state();
  if (options_.keep_local && node.kept && IslandMachine::continues(local, restored)) {
    ++num_continued_;
    node.x = node.kept->x;
    node.base = node.kept->base;
    node.step = restored.step = local.step;
    node.lease = node.journal.samples();
    const std::vector<ApplyLocal> applies = node.journal.applies();
    node.applies.assign(applies.begin(), applies.end());
    restored.local = local;
  } else {
    node.kept.reset();
    node.journal = LocalJournal(node.keeper->version(0));
    node.frozen.clear();
  }
  node.machine = std::make_unique<IslandMachine>(*table_, std::move(machine), std::move(restored));
  act(i, node.machine->start(now_));
  if (!node.up || node.life != life) return;
  after(0.001 + 0.01 * uniform(), [this, i, life] { tick_island(i, life); });
  after(0.002, [this, i, life] {
    if (islands_[i]->life != life || !islands_[i]->up) return;
    act(i, islands_[i]->machine->connected(now_, kCoordinatorName));
  });
  for (int other = 0; other < options_.num_islands; ++other) {
    if (other == i || !islands_[other]->up || !islands_[other]->machine) continue;
    act(other, islands_[other]->machine->connected(now_, names_[i]));
  }
  after(0.003, [this, i, life] {
    if (islands_[i]->up && islands_[i]->life == life) boundary(i);
  });
}

void Simulator::stop_island(int i, bool keep_memory) {
  Island& node = *islands_[i];
  node.up = false;
  ++node.life;
  if (keep_memory) return;
  node.region.clear();
  node.kept.reset();
}

void Simulator::crash_island(int i, bool keep_memory, double down_seconds) {
  if (!islands_[i]->up) return;
  stop_island(i, keep_memory);
  after(down_seconds, [this, i] { start_island(i); });
}

void Simulator::lose_workers(int i, double seconds) {
  const uint64_t life = islands_[i]->life;
  const int64_t token = islands_[i]->answered;
  act(i, islands_[i]->machine->local_undone(now_, token));
  after(seconds, [this, i, life, token] {
    Island& node = *islands_[i];
    if (node.up && node.life == life) act(i, node.machine->local_applied(now_, token));
  });
}

void Simulator::tick_island(int i, uint64_t life) {
  Island& node = *islands_[i];
  if (life != node.life || !node.up) return;
  act(i, node.machine->tick(now_));
  after(to_seconds(timers_.beat), [this, i, life] { tick_island(i, life); });
}

void Simulator::storm() {
  const double pause = 0.25;
  if (!faulty()) return;
  if (chance(options_.crash_rate * pause)) crash_coordinator(0.2 + 2 * uniform());
  for (int i = 0; i < options_.num_islands; ++i) {
    if (chance(options_.crash_rate * pause)) {
      crash_island(i, chance(options_.keep_memory), 0.1 + 3 * uniform());
    }
    const int other = static_cast<int>(uniform() * (options_.num_islands + 1));
    if (other != i && chance(options_.cut_rate * pause)) {
      cut(names_[i], other == options_.num_islands ? kCoordinatorName : names_[other],
          0.3 + 3 * uniform());
    }
  }
  after(pause, [this] { storm(); });
}

void Simulator::cut(const std::string& a, const std::string& b, double seconds) {
  dead_until_[{a, b}] = dead_until_[{b, a}] = now_ + from_seconds(seconds);
}

// --- network

void Simulator::transmit(const std::string& from, const Send& send) {
  ++num_messages_;
  Message message = send.message;
  if (on_send && !on_send(from, send.to, message)) return;
  auto dead = dead_until_.find({from, send.to});
  if (dead != dead_until_.end() && dead->second > now_) return;
  if (faulty() && chance(options_.loss)) return;
  net::Message bytes = encode(message);
  if (faulty() && !bytes.body.empty() && chance(options_.flip_rate)) {
    std::vector<std::byte> copy(bytes.body.span().begin(), bytes.body.span().end());
    copy[static_cast<size_t>(uniform() * static_cast<double>(copy.size()))] ^= std::byte{16};
    bytes.body = net::Buffer::take(std::move(copy));
  }
  const int copies = faulty() && chance(options_.duplicates) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    after(options_.delay_seconds + options_.jitter_seconds * uniform(),
          [this, from, to = send.to, bytes] { arrive(from, to, bytes); });
  }
}

void Simulator::deliver(const std::string& from, const std::string& to, const Message& message) {
  arrive(from, to, encode(message));
}

void Simulator::arrive(const std::string& from, const std::string& to, const net::Message& bytes) {
  const Result<Message> message = decode(bytes, from);
  if (!message.ok()) {
    if (options_.flip_rate == 0) fail(message.status().to_string());
    return;
  }
  if (to == kCoordinatorName) {
    if (coordinator_->up) act_coordinator(coordinator_->machine->received(now_, from, *message));
    return;
  }
  for (int i = 0; i < options_.num_islands; ++i) {
    if (names_[i] == to && islands_[i]->up) {
      act(i, islands_[i]->machine->received(now_, from, *message));
    }
  }
}

// --- actions

void Simulator::act_coordinator(std::vector<CoordinatorAction> actions) {
  for (CoordinatorAction& action : actions) {
    if (faulty() && chance(options_.crash_at_action / 4)) {
      return crash_coordinator(0.2 + uniform());
    }
    if (const auto* send = std::get_if<Send>(&action)) {
      transmit(kCoordinatorName, *send);
    } else if (const auto* say = std::get_if<Say>(&action)) {
      sayings_.push_back(say->text);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      fail("the coordinator halts: " + halt->why.to_string());
    } else if (const auto* persist = std::get_if<PersistCoordinator>(&action)) {
      if (persist->epoch != stored_epoch_ + (persist->raise_epoch ? 1 : 0)) {
        return fail("a coordinator writes under a foreign epoch");
      }
      stored_epoch_ = persist->epoch;
      if (persist->view) stored_view_ = persist->view;
      if (persist->committed) check_commit(*persist->committed);
      if (persist->committed) ledger_.push_back(*persist->committed);
      if (persist->settled) settled_[persist->settled->first] = persist->settled->second;
      if (persist->leases) leases_ = persist->leases;
    } else if (const auto* again = std::get_if<SendCommitted>(&action)) {
      const Record& record = ledger_.at(static_cast<size_t>(again->fence.round - 1)).record;
      transmit(kCoordinatorName,
               Send{again->to, Message{again->fence, Commit{record, again->retain_from}}});
    }
  }
}

void Simulator::act(int i, std::vector<IslandAction> actions) {
  Island& node = *islands_[i];
  const uint64_t life = node.life;
  for (IslandAction& action : actions) {
    if (!node.up || node.life != life) return;
    if (faulty() && chance(options_.crash_at_action)) {
      return crash_island(i, chance(options_.keep_memory), 0.1 + uniform());
    }
    if (const auto* send = std::get_if<Send>(&action)) {
      check_send(i, send->message);
      transmit(names_[i], *send);
    } else if (const auto* say = std::get_if<Say>(&action)) {
      sayings_.push_back(say->text);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      fail(cat("island ", names_[i], " halts: ", halt->why.to_string()));
    } else if (const auto* persist = std::get_if<PersistIsland>(&action)) {
      node.log.push_back(persist->entry);
    } else if (const auto* work = std::get_if<Work>(&action)) {
      node.worker_free = std::max(node.worker_free, now_) + from_seconds(0.0005);
      const double wait = to_seconds(node.worker_free - now_);
      after(wait, [this, i, life, job = work->job] {
        Island& node = *islands_[i];
        if (!node.up || node.life != life) return;
        check_job(i, job);
        WorkDone done = node.work->run(job);
        const Digest state_root = done.state_root;
        if (on_work) on_work(i, *node.keeper, done);
        if (done.state_root != state_root) corrupted_.insert(i);
        const auto* freeze = std::get_if<FreezeJob>(&job);
        if (freeze != nullptr && done.status.ok()) frozen_base_[done.leaf] = freeze->base;
        act(i, node.machine->work_done(now_, done));
      });
    } else if (const auto* snapshot = std::get_if<TakeSnapshot>(&action)) {
      node.snapshots.push_back(*snapshot);
      boundary(i);
    } else if (const auto* apply = std::get_if<ApplyLocal>(&action)) {
      node.journal.wanted(*apply);
      if (apply->verdict == LocalVerdict::kReset) {
        node.applies.clear();
        node.kept.reset();
      }
      node.applies.push_back(*apply);
      after(0, [this, i, life] {
        if (islands_[i]->up && islands_[i]->life == life) boundary(i);
      });
    } else if (const auto* limit = std::get_if<StepLimit>(&action)) {
      node.limit = limit->steps;
      after(0, [this, i, life] { train(i, life); });
    } else if (const auto* lease = std::get_if<LeaseGranted>(&action)) {
      node.wants_lease = false;
      node.journal.leased(*lease);
      node.lease.insert(node.lease.end(), lease->ranges.begin(), lease->ranges.end());
      after(0, [this, i, life] { train(i, life); });
    } else if (const auto* note = std::get_if<Note>(&action)) {
      if (note->what == "applied") check_applied(i);
    }
  }
}

// --- facts

bool Simulator::said(const std::string& part) const {
  for (const std::string& text : sayings_) {
    if (text.find(part) != std::string::npos) return true;
  }
  return false;
}
bool Simulator::was_reset(int i) const {
  return std::ranges::any_of(journal_, [&](const Moment& moment) {
    return moment.what == Moment::What::kApply && moment.island == i &&
           moment.verdict == LocalVerdict::kReset;
  });
}
int64_t Simulator::applied(int i) const {
  return islands_[i]->machine ? islands_[i]->machine->applied() : -1;
}
int64_t Simulator::steps_done(int i) const { return islands_[i]->step; }
const CoordinatorMachine* Simulator::coordinator() const { return coordinator_->machine.get(); }
const IslandMachine* Simulator::island(int i) const { return islands_[i]->machine.get(); }

std::vector<float> Simulator::outer_weights(int i) const {
  std::vector<float> weights;
  for (int slab = 0; slab < table_->size(); ++slab) {
    const auto w = islands_[i]->keeper->state(slab).w;
    weights.insert(weights.end(), w.begin(), w.end());
  }
  return weights;
}
std::vector<float> Simulator::local_weights(int i) const { return islands_[i]->x; }

std::vector<float> Simulator::initial_weights() const {
  const CounterRandom random(3, "initial");
  std::vector<float> weights(static_cast<size_t>(table_->num_elements()));
  for (size_t e = 0; e < weights.size(); ++e) weights[e] = random.normal(e) * 0.1f;
  return weights;
}

}  // namespace skarv::wan
