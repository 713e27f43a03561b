#include "wan/round/simulator.h"

#include <cmath>
#include <deque>
#include <limits>

#include "base/random.h"
#include "base/text.h"
#include "wan/payload_store.h"

namespace skarv::wan {

namespace {

Model tiny_model() {
  Model model;
  model.vocabulary = 16;
  model.hidden = 4;
  model.num_blocks = 2;
  model.num_heads = 2;
  model.num_kv_heads = 1;
  model.head_dim = 2;
  model.ffn = 8;
  model.context = 8;
  return model;
}

constexpr uint64_t kBatch = 4;

uint64_t size_of(const std::deque<SampleRange>& ranges) {
  uint64_t size = 0;
  for (const SampleRange& range : ranges) size += range.size();
  return size;
}

std::vector<SampleRange> take_first(std::deque<SampleRange>& ranges, uint64_t count) {
  std::vector<SampleRange> taken;
  while (count > 0 && !ranges.empty()) {
    SampleRange& first = ranges.front();
    const uint64_t part = std::min(count, first.size());
    taken.push_back({first.begin, first.begin + part});
    first.begin += part;
    count -= part;
    if (first.size() == 0) ranges.pop_front();
  }
  return taken;
}

}  // namespace

struct Simulator::Island {
  // Disk.
  std::vector<LogEntry> log;
  MemoryPayloads payloads;
  // Memory that may outlive the process.
  std::vector<std::byte> region;
  struct Kept {  // of the trainer, at its newest snapshot
    std::vector<float> x;
    std::map<int, int64_t> base;
  };
  std::optional<Kept> kept;
  LocalJournal journal;
  std::map<int64_t, std::vector<float>> frozen;  // by round
  // The process.
  uint64_t life = 0;
  bool up = false;
  std::unique_ptr<KeeperStore> keeper;
  std::unique_ptr<MergerStore> merger;
  std::unique_ptr<KeeperWork> work;
  std::unique_ptr<IslandMachine> machine;
  Time worker_free{};
  // Trainer.
  std::vector<float> x;
  std::map<int, int64_t> base;  // fragment -> round that x stands on
  int64_t step = 0, limit = 0;
  bool computing = false, wants_lease = false;
  std::deque<SampleRange> lease;
  std::vector<TakeSnapshot> snapshots;
  std::vector<ApplyLocal> applies;
  std::vector<float> gradient;
};

struct Simulator::Coordinator {
  uint64_t life = 0;
  bool up = false;
  std::unique_ptr<CoordinatorMachine> machine;
};

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
        if (on_work) on_work(i, *node.keeper, done);
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

// --- the toy trainer

float Simulator::toy_gradient(float x, int64_t element, uint64_t sample) {
  static const CounterRandom random(7, "noise");
  const float target = static_cast<float>((element * 37 + 11) % 101) / 101.0f;
  const uint64_t word = random.at(sample * 4096 + static_cast<uint64_t>(element));
  return x - target + static_cast<float>(word % 1000) / 5000.0f - 0.1f;
}

void Simulator::train(int i, uint64_t life) {
  Island& node = *islands_[i];
  if (!node.up || node.life != life || node.computing || node.step >= node.limit) return;
  if (!node.applies.empty() && node.applies.front().not_before_step <= node.step) return;
  if (options_.samples && size_of(node.lease) < kBatch) {
    if (!node.wants_lease) {
      node.wants_lease = true;
      act(i, node.machine->request_lease(now_, 4 * kBatch));
    }
    return;
  }
  node.computing = true;
  const double slow = options_.slow.contains(i) ? options_.slow.at(i) : 1;
  after(options_.step_seconds * slow, [this, i, life] {
    Island& node = *islands_[i];
    if (!node.up || node.life != life) return;
    node.computing = false;
    // A reset in the middle of the step took the samples away.
    if (options_.samples && size_of(node.lease) < kBatch) return train(i, life);
    std::vector<SampleRange> used;
    if (options_.samples) used = take_first(node.lease, kBatch);
    std::vector<uint64_t> samples;
    for (const SampleRange& range : used) {
      for (uint64_t sample = range.begin; sample < range.end; ++sample) samples.push_back(sample);
    }
    if (samples.empty())
      samples.push_back(static_cast<uint64_t>(node.step) * 16 + static_cast<uint64_t>(i));
    std::vector<float> gradient(node.x.size(), 0.0f);
    for (uint64_t sample : samples) {
      for (size_t e = 0; e < node.x.size(); ++e) {
        gradient[e] += toy_gradient(node.x[e], static_cast<int64_t>(e), sample);
      }
    }
    ++node.step;
    journal_.push_back({Moment::What::kStep, i, 0, -1, {}, samples});
    if (run_.exchange.mode == ExchangeMode::kGradient) {
      node.gradient = gradient;
    } else {
      for (size_t e = 0; e < node.x.size(); ++e) {
        node.x[e] -= 0.05f / static_cast<float>(samples.size()) * gradient[e];
      }
      if (faulty() && chance(options_.nan_rate)) {
        node.x[0] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    node.journal.trained(node.step, static_cast<int64_t>(samples.size()), used);
    act(i, node.machine->step_done(now_, node.step, static_cast<int64_t>(samples.size()), used));
    boundary(i);
    train(i, life);
  });
}

// Between two optimizer steps.
void Simulator::boundary(int i) {
  Island& node = *islands_[i];
  if (node.computing) return;
  const uint64_t life = node.life;
  const bool exact = run_.exchange.mode == ExchangeMode::kGradient;
  while (node.up && node.life == life && !node.applies.empty()) {
    const ApplyLocal apply = node.applies.front();
    if (apply.not_before_step > node.step) break;
    node.applies.erase(node.applies.begin());
    journal_.push_back({Moment::What::kApply, i, apply.round, apply.fragment, apply.verdict, {}});
    int64_t offset = 0;
    for (int slab = 0; slab < table_->size(); ++slab) {
      const Slab& range = (*table_)[slab];
      const SlabState now = node.keeper->state(slab);
      if (apply.fragment < 0 || range.fragment == apply.fragment) {
        const SlabState before = node.keeper->previous(slab);
        if (apply.verdict == LocalVerdict::kExcluded &&
            before.version != node.base[range.fragment]) {
          return fail("excluded: the keeper's previous side is not the base of x (I6)");
        }
        for (int64_t e = 0; e < range.size(); ++e) {
          float& x = node.x[static_cast<size_t>(offset + e)];
          const float w = now.w[static_cast<size_t>(e)];
          if (apply.verdict == LocalVerdict::kReset) {
            x = w;
          } else if (apply.verdict == LocalVerdict::kIncluded) {
            x = apply.alpha * x + (1 - apply.alpha) * w;
          } else {
            x += w - before.w[static_cast<size_t>(e)];
          }
        }
      }
      offset += range.size();
    }
    for (int slab = 0; slab < table_->size(); ++slab) {
      const int fragment = (*table_)[slab].fragment;
      if (apply.fragment < 0 || fragment == apply.fragment) {
        node.base[fragment] = node.keeper->version(slab);
      }
    }
    if (apply.verdict == LocalVerdict::kReset) {
      node.lease = {};
      node.wants_lease = false;
    }
    node.journal.took(apply.round, node.step - 1);  // the stable state comes after it
    act(i, node.machine->local_applied(now_, apply.token));
  }
  while (node.up && node.life == life && !node.snapshots.empty()) {
    const TakeSnapshot take = node.snapshots.front();
    if (take.not_before_step > node.step) break;
    node.snapshots.erase(node.snapshots.begin());
    journal_.push_back({Moment::What::kSnapshot, i, take.round, take.fragment, {}, {}});
    node.frozen[take.round] = exact ? node.gradient : node.x;
    while (node.frozen.size() > 2) node.frozen.erase(node.frozen.begin());
    node.journal.froze(take.round, node.step);
    node.journal.stable(node.step);
    if (!exact) node.kept = Island::Kept{node.x, node.base};
    act(i, node.machine->snapshot_ready(now_, take.round, node.step));
  }
  if (node.up && node.life == life) after(0, [this, i, life] { train(i, life); });
}

// --- invariants

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
  const auto* apply = std::get_if<ApplyJob>(&job);
  if (apply == nullptr) return;
  const ApplyOrder& order = apply->order;
  if (order.round > static_cast<int64_t>(ledger_.size())) {
    return fail(cat("I3: ", names_[i], " applies round ", order.round, ", not committed"));
  }
  const Record& record = ledger_[static_cast<size_t>(order.round - 1)].record;
  if (order.delivery != Delivery::kIncluded) return;
  const RecordEntry* entry = record.find(names_[i]);
  std::vector<Digest> leaves;
  for (const SlabOrder& slab : order.slabs) leaves.push_back(slab.contribution);
  if (entry == nullptr || entry->contribution.root != merkle_root(leaves)) {
    fail(cat("I5: ", names_[i], " advances e for a contribution that is not in record ",
             order.round));
  }
}

void Simulator::check_commit(const CommittedRound& row) {
  const int64_t n = row.record.round;
  if (n != static_cast<int64_t>(ledger_.size()) + 1) return fail(cat("I1: record ", n, " twice"));
  const Digest before = ledger_.empty() ? genesis_chain(handshake_) : ledger_.back().chain;
  if (row.record.previous_chain != before) fail("I2: the chain is broken");
  if (row.record.term.epoch != stored_epoch_) fail("I7: a record of another epoch");
  int num_held = 0, num_promised = 0;
  for (int i = 0; i < options_.num_islands; ++i) {
    std::vector<Digest> leaves;
    for (int slab : table_->slabs_of_fragment(row.record.fragment)) {
      const Result<StoredPayload> stored = islands_[i]->payloads.load(n, slab);
      if (stored.ok()) leaves.push_back(stored->leaf);
    }
    num_held += merkle_root(leaves) == row.record.payload_root;
    for (const LogEntry& entry : islands_[i]->log) {
      const auto* accept = std::get_if<LogAccept>(&entry);
      if (accept != nullptr && accept->record == row.record) {
        ++num_promised;
        break;
      }
    }
  }
  const int quorum = quorum_of(options_.num_islands, run_.exchange.durable_copies);
  if (num_held < quorum) fail(cat("I4: round ", n, " committed with bytes on ", num_held));
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
  if (corrupted_.contains(i) || on_work) return;
  auto [found, fresh] = applied_roots_.emplace(n, machine.state_root());
  if (found->second != machine.state_root()) fail(cat("state roots differ after round ", n));
  auto earlier = applied_roots_.find(n - 1);
  if (earlier != applied_roots_.end() && earlier->second == found->second) {
    fail(cat("round ", n, " changed nothing"));
  }
}

std::string Simulator::check_end() {
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

// --- facts

bool Simulator::said(const std::string& part) const {
  for (const std::string& text : sayings_) {
    if (text.find(part) != std::string::npos) return true;
  }
  return false;
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
