#include "wan/coordinator.h"

#include "base/file.h"
#include "base/text.h"
#include "wan/round/message_codec.h"

namespace skarv::wan {

namespace {
Time now() { return Clock::real().now(); }
}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, EventLog& events)
    : options_(std::move(options)), events_(events) {}

Status Coordinator::start() {
  const Run& run = options_.run;
  table_ = std::make_unique<SlabTable>(run.model, run.exchange.num_fragments);
  SKARV_ASSIGN(const Timers timers, Timers::from(run.exchange));
  SKARV_ASSIGN(Handshake handshake, Handshake::of(run, *table_));
  SKARV_ASSIGN(ledger_, Ledger::open(options_.folder / "ledger.sqlite", handshake.run));
  SKARV_ASSIGN(CoordinatorMachine::Restored restored, ledger_->restore());
  events_.write("start", {{"epoch", restored.epoch + 1},
                          {"committed", restored.committed},
                          {"timers", timers.to_string()}});
  CoordinatorMachine::Settings settings{run, timers, handshake, options_.view, options_.last_round};
  machine_ =
      std::make_unique<CoordinatorMachine>(*table_, std::move(settings), std::move(restored));

  loop_ = std::make_unique<EventLoop>(timers.beat, [this] {
    if (!machine_->halted()) carry_out(machine_->tick(now()));
    refresh();
  });
  Switchboard::Callbacks callbacks;
  callbacks.received = [this](const std::string& peer, net::Message bytes) {
    loop_->post([this, peer, bytes = std::move(bytes)] {
      const Result<Message> message = decode(bytes, peer);
      if (!message.ok()) {
        events_.write("bad_message", {{"from", peer}, {"why", message.status().to_string()}});
        return;
      }
      if (!machine_->halted()) carry_out(machine_->received(now(), peer, *message));
      refresh();
    });
  };
  callbacks.connected = [this](const std::string& peer) {
    events_.write("connected", {{"peer", peer}});
  };
  callbacks.lost = [this](const std::string& peer, const Status& why) {
    events_.write("lost", {{"peer", peer}, {"why", why.to_string()}});
  };
  board_ = std::make_unique<Switchboard>(options_.transport, options_.net, std::move(callbacks));
  SKARV_TRY(board_->listen(options_.listen));
  loop_->post([this] { carry_out(machine_->start(now())); });
  loop_->start();
  return Status();
}

void Coordinator::fail(const Status& why) {
  const std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = why;
  events_.write("failed", {{"why", why.to_string()}});
}

void Coordinator::carry_out(const CoordinatorMachine::Actions& actions) {
  if (!failure().ok()) return;
  for (const CoordinatorAction& action : actions) {
    if (const auto* send = std::get_if<Send>(&action)) {
      board_->send(send->to, encode(send->message), lane_of(send->message));
    } else if (const auto* note = std::get_if<Note>(&action)) {
      events_.write(note->what, note->fields);
    } else if (const auto* say = std::get_if<Say>(&action)) {
      events_.write("say", {{"text", say->text}});
      on_say(say->text);
    } else if (const auto* halt = std::get_if<Halt>(&action)) {
      return fail(halt->why);
    } else if (const auto* persist = std::get_if<PersistCoordinator>(&action)) {
      // What follows depends on it: a coordinator that cannot write stops, and goes on from its
      // ledger when it is started again.
      if (const Status status = ledger_->persist(*persist); !status.ok()) return fail(status);
    } else if (const auto* again = std::get_if<SendCommitted>(&action)) {
      const Result<Record> record = ledger_->record(again->fence.round);
      if (!record.ok()) return fail(record.status());
      const Message message{again->fence, Commit{*record, again->retain_from}};
      board_->send(again->to, encode(message), lane_of(message));
    }
  }
}

void Coordinator::refresh() {
  Json status = machine_->status(now());
  const bool done = machine_->finished();
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  if (now() - written_ > std::chrono::seconds(1) || (done && !finished_)) {
    written_ = now();
    // For people; the run does not depend on it.
    (void)write_file_atomic(options_.folder / "status.json", status.dump(1) + "\n");
  }
  finished_ = done;
}

Status Coordinator::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Json Coordinator::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void Coordinator::stop() {
  if (loop_) loop_->stop();
  if (board_) board_->stop();
}

}  // namespace skarv::wan
