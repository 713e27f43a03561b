#include "wan/island_service.h"

#include "base/text.h"
#include "wan/disk_payloads.h"
#include "wan/round/message_codec.h"

namespace skarv::wan {

IslandService::IslandService(IslandOptions options, KeeperStore& keeper, const SlabTable& table,
                             Trainer trainer, EventLog& events)
    : options_(std::move(options)),
      keeper_(keeper),
      table_(table),
      trainer_(std::move(trainer)),
      events_(events) {}

Status IslandService::start() {
  const Run& run = options_.run;
  SKARV_ASSIGN(const Timers timers, Timers::from(run.exchange));
  SKARV_ASSIGN(const Handshake handshake, Handshake::of(run, table_));
  SKARV_TRY(make_directories(options_.folder));
  SKARV_ASSIGN(log_, IslandLog::open(options_.folder / "island.log", handshake.run));
  if (run.exchange.durability == Durability::kDisk) {
    SKARV_ASSIGN(payloads_, DiskPayloads::open(options_.folder / "payloads", handshake.run));
  } else {
    payloads_ = std::make_unique<MemoryPayloads>();
  }
  merger_ = std::make_unique<MergerStore>(table_, run.exchange.upload, run.exchange.download,
                                          static_cast<float>(run.exchange.residual_decay));
  for (const auto& [slab, residual] : options_.merger_residuals) merger_->restore(slab, residual);
  work_ = std::make_unique<KeeperWork>(options_.name, keeper_, *merger_, *payloads_,
                                       run.exchange.upload, trainer_.snapshot);

  loop_ = std::make_unique<EventLoop>(timers.beat, [this] {
    watch_progress();
    if (machine_ && !machine_->halted()) carry_out(machine_->tick(Clock::real().now()));
    refresh();
  });
  working_ = std::make_unique<EventLoop>(Duration::zero(), [] {});
  Switchboard::Callbacks callbacks;
  callbacks.received = [this](const std::string& peer, net::Message bytes) {
    Result<Message> message = decode(bytes, peer);  // on the reader's thread: it copies payloads
    if (!message.ok()) {
      events_.write("bad_message", {{"from", peer}, {"why", message.status().to_string()}});
      return;
    }
    with_machine([peer, message = std::move(*message)](IslandMachine& machine, Time now) {
      return machine.received(now, peer, message);
    });
  };
  callbacks.connected = [this](const std::string& peer) {
    events_.write("connected", {{"peer", peer}});
    with_machine([this, peer](IslandMachine& machine, Time now) {
      seen_bytes_[peer] = 0;
      return machine.connected(now, peer);
    });
  };
  callbacks.lost = [this](const std::string& peer, const Status& why) {
    events_.write("lost", {{"peer", peer}, {"why", why.to_string()}});
  };
  board_ = std::make_unique<Switchboard>(options_.transport, options_.net, std::move(callbacks));
  SKARV_TRY(board_->listen(options_.listen));

  IslandMachine::Settings settings;
  settings.name = options_.name;
  settings.address = options_.advertise.empty() ? board_->address() : options_.advertise;
  settings.run = run;
  settings.timers = timers;
  settings.handshake = handshake;
  settings.last_round = options_.last_round;
  IslandMachine::Restored restored = log_->restored();
  for (int slab = 0; slab < table_.size(); ++slab) {
    restored.versions.push_back(keeper_.version(slab));
    if (restored.generation > 0 || keeper_.version(slab) <= 0) continue;
    return Status(Code::kDataLoss, Scope::kSite,
                  cat("the log of promises is empty, but the outer state is of round ",
                      keeper_.version(slab)))
        .at((options_.folder / "island.log").string())
        .with_hint(
            "put the log back from a copy; without it this island cannot go on: skarv export gives "
            "the weights of its newest checkpoint");
  }
  restored.step = options_.step;
  restored.local = options_.local;
  events_.write("start", {{"committed", restored.committed}, {"timers", timers.to_string()}});
  machine_ = std::make_unique<IslandMachine>(table_, std::move(settings), std::move(restored));
  with_machine([](IslandMachine& machine, Time now) { return machine.start(now); });
  working_->start();
  loop_->start();
  board_->dial(kCoordinatorName, options_.coordinator);
  return Status();
}

void IslandService::with_machine(std::function<Actions(IslandMachine&, Time)> event) {
  loop_->post([this, event = std::move(event)] {
    if (!machine_ || machine_->halted() || !failure().ok()) return;
    carry_out(event(*machine_, Clock::real().now()));
    refresh();
  });
}

void IslandService::fail(const Status& why) {
  const std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = why;
  events_.write("failed", {{"why", why.to_string()}});
}

void IslandService::carry_out(const Actions& actions) {
  for (const IslandAction& action : actions) {
    if (!failure().ok()) return;
    if (const auto* send = std::get_if<Send>(&action)) {
      board_->send(send->to, encode(send->message), lane_of(send->message));
    } else if (const auto* note = std::get_if<Note>(&action)) {
      events_.write(note->what, note->fields);
    } else if (const auto* say = std::get_if<Say>(&action)) {
      events_.write("say", {{"text", say->text}});
      trainer_.say(say->text);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      fail(halt->why);
    } else if (const auto* persist = std::get_if<PersistIsland>(&action)) {
      if (const Status status = log_->append(persist->entry); !status.ok()) fail(status);
    } else if (const auto* work = std::get_if<Work>(&action)) {
      working_->post([this, job = work->job] {
        const WorkDone done = work_->run(job);
        if (!done.status.ok()) events_.write("job_failed", {{"why", done.status.to_string()}});
        with_machine(
            [done](IslandMachine& machine, Time now) { return machine.work_done(now, done); });
      });
    } else if (const auto* snapshot = std::get_if<TakeSnapshot>(&action)) {
      trainer_.take_snapshot(*snapshot);
    } else if (const auto* apply = std::get_if<ApplyLocal>(&action)) {
      trainer_.apply_local(*apply);
    } else if (const auto* limit = std::get_if<StepLimit>(&action)) {
      trainer_.step_limit(limit->steps);
    } else if (const auto* lease = std::get_if<LeaseGranted>(&action)) {
      trainer_.leased(*lease);
    } else if (const auto* peer = std::get_if<PeerAddress>(&action)) {
      // The larger name dials the smaller, so that two islands have one connection.
      if (peer->island >= options_.name || peer->address.empty()) continue;
      const auto route = options_.routes.find(peer->island);
      board_->dial(peer->island, route == options_.routes.end() ? peer->address : route->second);
    }
  }
}

void IslandService::watch_progress() {
  if (!machine_ || machine_->halted()) return;
  for (auto& [peer, seen] : seen_bytes_) {
    const int64_t bytes = board_->received_from(peer);
    // A heartbeat is a few hundred bytes; a payload under way is more.
    if (bytes > seen + 4096) carry_out(machine_->progress(Clock::real().now(), peer));
    seen = bytes;
  }
}

void IslandService::refresh() {
  IslandStatus status;
  status.applied = machine_->applied();
  status.committed = machine_->committed();
  status.generation = machine_->generation();
  status.chain = machine_->chain().value_or(Digest());
  status.state_root = machine_->state_root();
  status.learner = machine_->learner();
  status.finished = machine_->finished();
  status.step = machine_->step();
  const net::Traffic traffic = board_->traffic();
  status.wan_sent = traffic.wire_bytes_sent;
  status.wan_received = traffic.wire_bytes_received;
  const std::lock_guard lock(mutex_);
  status_ = status;
}

void IslandService::step_done(int64_t steps, int64_t tokens, std::vector<SampleRange> samples) {
  with_machine([=, samples = std::move(samples)](IslandMachine& machine, Time now) {
    return machine.step_done(now, steps, tokens, samples);
  });
}

void IslandService::snapshot_ready(int64_t round, int64_t step) {
  with_machine(
      [=](IslandMachine& machine, Time now) { return machine.snapshot_ready(now, round, step); });
}

void IslandService::local_applied(int64_t token) {
  with_machine([=](IslandMachine& machine, Time now) { return machine.local_applied(now, token); });
}

void IslandService::local_undone(int64_t token) {
  with_machine([=](IslandMachine& machine, Time now) { return machine.local_undone(now, token); });
}

void IslandService::request_lease(uint64_t count) {
  with_machine([=](IslandMachine& machine, Time now) { return machine.request_lease(now, count); });
}

void IslandService::checkpointed(int64_t round) {
  with_machine([=](IslandMachine& machine, Time now) { return machine.checkpointed(now, round); });
}

IslandStatus IslandService::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Status IslandService::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::map<int, std::vector<float>> IslandService::merger_residuals() const {
  std::map<int, std::vector<float>> residuals;
  for (int slab = 0; slab < table_.size(); ++slab) {
    const auto residual = merger_->residual(slab);
    if (!residual.empty()) residuals[slab] = {residual.begin(), residual.end()};
  }
  return residuals;
}

void IslandService::stop() {
  // The loop first: what it carries out uses the others.
  if (loop_) loop_->stop();
  if (working_) working_->stop();
  if (board_) board_->stop();
}

}  // namespace skarv::wan
