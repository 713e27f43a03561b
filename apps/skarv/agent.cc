#include "agent.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/file.h"
#include "base/text.h"
#include "interrupt.h"
#include "island_journal.h"

namespace skarv {

namespace {

constexpr size_t kLatestLosses = 32;
constexpr size_t kLatestSteps = 1024;  // of whose times the median is told
constexpr auto kTell = std::chrono::seconds(1);
constexpr auto kStandstill = std::chrono::seconds(10);
constexpr auto kStopLimit = std::chrono::seconds(10);

// Neither is asked of nothing.
double mean(const std::deque<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(std::deque<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void keep_latest(std::deque<double>& values, double value, size_t most) {
  values.push_back(value);
  if (values.size() > most) values.pop_front();
}

}  // namespace

Agent::Agent(AgentOptions options) : options_(std::move(options)), events_(options_.island) {}

Agent::~Agent() {
  if (service_) service_->stop();
  if (saving_.joinable()) saving_.join();
}

void Agent::put(std::function<void()> note) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(note));
  }
  if (group_) group_->wake();
}

// Before anything happens that could not be done again without it.
void Agent::keep_journal() {
  const wan::LocalJournal& journal = director_->journal();
  if (!director_->stable().from_inner || journal.num_changes() == journal_kept_) return;
  journal_kept_ = journal.num_changes();
  const Status status = write_journal({director_->stable().parity, journal}, journal_path());
  if (!status.ok()) events_.write("journal_failed", {{"why", status.to_string()}});
}

Status Agent::bring_up(const handoff::Load& load) {
  note_current_sides();
  const int64_t before = group_->num_restarts();
  SKARV_TRY(group_->bring_up(load));
  progress_.worker_restarts += group_->num_restarts() - before;
  return Status();
}

Status Agent::run() {
  SKARV_TRY(prepare());
  SKARV_TRY(open_workers());
  SKARV_TRY(open_keeper());
  handoff::Load load;
  load.step = start_.step;
  if (go_on_) {
    load.from_inner = true;
    load.parity = start_.parity;
    director_->start_from(start_.parity, *go_on_);
  } else {
    load.moments_parity = start_.parity;
    director_->start_from(start_.step, applied_round());
  }
  SKARV_TRY(bring_up(load));
  SKARV_TRY(open_service());
  options_.on_listening(service_->address());
  const Status status = loop();
  service_->stop();
  if (saving_.joinable()) saving_.join();
  tell(true);
  events_.write("end", {{"status", status.to_string()}});
  const bool ended = status.ok() || status.code() == Code::kCancelled;
  if (ended) group_->stop(Clock::real().now() + kStopLimit);
  return status;
}

void Agent::drain_inbox() {
  std::deque<std::function<void()>> notes;
  {
    const std::lock_guard lock(mutex_);
    notes.swap(inbox_);
  }
  for (const auto& note : notes) note();
}

void Agent::drain_notices() {
  while (auto notice = director_->take_notice()) {
    if (const auto* ready = std::get_if<Director::SnapshotReady>(&*notice)) {
      keep_journal();
      service_->snapshot_ready(ready->round, ready->step);
    } else if (const auto* applied = std::get_if<Director::LocalApplied>(&*notice)) {
      service_->local_applied(applied->token);
    } else if (const auto* undone = std::get_if<Director::LocalUndone>(&*notice)) {
      service_->local_undone(undone->token);
    } else if (const auto* need = std::get_if<Director::NeedSamples>(&*notice)) {
      keep_journal();
      service_->request_lease(need->count);
    } else if (const auto* trained = std::get_if<Director::SamplesTrained>(&*notice)) {
      service_->step_done(trained->steps_done, trained->tokens, trained->samples);
    } else if (const auto* finished = std::get_if<Director::StepFinished>(&*notice)) {
      note_step(*finished);
    } else {
      reset_wanted_ = true;
    }
  }
}

void Agent::note_step(const Director::StepFinished& finished) {
  double loss = 0, seconds = 0;
  int64_t tokens = 0;
  bool skipped = false;
  for (size_t rank = 0; rank < finished.workers.size(); ++rank) {
    const handoff::StepDone& done = finished.workers[rank];
    DeviceProgress& device = progress_.devices[rank];
    device.tokens += done.work_tokens;
    device.busy_seconds += done.busy_seconds;
    device.wait_seconds += done.wait_seconds;
    device.missed_slots += done.missed_slots;
    device.bytes_sent += done.bytes_sent;
    device.peak_bytes = std::max(device.peak_bytes, done.peak_bytes);
    loss += done.loss_sum;
    tokens += done.tokens;
    seconds = std::max(seconds, done.seconds);
    skipped = skipped || done.skipped;
  }
  progress_.steps = finished.steps_done;
  progress_.tokens += tokens;
  progress_.num_skipped += skipped;
  keep_latest(step_seconds_, seconds, kLatestSteps);
  if (tokens > 0) keep_latest(losses_, loss / static_cast<double>(tokens), kLatestLosses);
  const auto& stable = director_->stable();
  if (stable.from_inner) {
    const auto words = group_->memory()->agent_words();
    words[0] = stable.parity + 1;
    words[1] = stable.step;
  }
  const double shown = tokens > 0 ? loss / static_cast<double>(tokens) : 0;
  events_.write("step", {{"steps", finished.steps_done},
                         {"loss", std::isfinite(shown) ? Json(shown) : Json("not finite")},
                         {"seconds", seconds},
                         {"tokens", tokens},
                         {"skipped", skipped}});
}

Status Agent::handle(const WorkerGroup::Event& event) {
  if (const auto* spoke = std::get_if<WorkerGroup::Spoke>(&event)) {
    director_->heard(spoke->rank, spoke->message);
    return Status();
  }
  if (const auto* lost = std::get_if<WorkerGroup::Lost>(&event)) {
    events_.write("worker_lost", {{"device", group_->device(lost->rank)}, {"why", lost->why}});
    said_ = cat("lost the worker of ", group_->device(lost->rank), ": ", lost->why);
    const handoff::Load load = director_->roll_back();
    drain_notices();  // the protocol waits for them from now on
    SKARV_TRY(bring_up(load));
    said_.clear();
  }
  return Status();
}

// The newest round that is in the keeper.
int64_t Agent::applied_round() const {
  int64_t newest = 0;
  for (int slab = 0; slab < table_->size(); ++slab) {
    newest = std::max(newest, keeper_->version(slab));
  }
  return newest;
}

void Agent::consider_checkpoint() {
  const auto& stable = director_->stable();
  if (!saving_done_) return;
  if (saving_.joinable()) {
    saving_.join();
    director_->protect(-1);
    unsaved_ = saved_.ok() ? "" : saved_.to_string();
    if (saved_.ok()) {
      service_->checkpointed(saved_round_);
    } else {
      events_.write("checkpoint_failed", {{"why", saved_.to_string()}});
    }
  }
  const int64_t every = options_.job.run.checkpoint_every_rounds;
  const int64_t applied = service_->status().applied;
  const bool local = options_.job.run.exchange.mode == ExchangeMode::kLocal;
  if (every <= 0 || applied < saved_round_ + every || (local && !stable.from_inner)) return;
  auto outer = std::make_shared<OuterCopy>(OuterCopy::of(*keeper_, *table_));
  saved_round_ = outer->round;
  InnerState inner{stable.from_inner ? stable.parity : -1, stable.step};
  director_->protect(inner.parity);
  saving_done_ = false;
  saving_ = std::thread([this, outer, inner] {
    const auto saved = save_checkpoint(options_.folder, options_.job.run, *table_, *outer,
                                       *group_->memory(), inner);
    saved_ = saved.status();
    saving_done_ = true;
  });
}

void Agent::tell(bool last) {
  const Time now = Clock::real().now();
  if (!last && now - told_ < kTell) return;
  told_ = now;
  if (service_) {
    const wan::IslandStatus status = service_->status();
    progress_.rounds = status.applied;
    progress_.wan_sent = sent_before_ + status.wan_sent;
    progress_.wan_received = received_before_ + status.wan_received;
    progress_.state_digest = status.state_root.hex();
  }
  if (last && keeper_) {
    // From memory, now: what this site really holds.
    std::vector<Digest> leaves;
    for (int slab = 0; slab < table_->size(); ++slab) leaves.push_back(keeper_->state_leaf(slab));
    progress_.state_digest = merkle_root(leaves).hex();
  }
  if (training_since_) progress_.seconds = seconds_before_ + to_seconds(now - *training_since_);
  // An agent that has not trained yet leaves what the one before it said.
  if (!step_seconds_.empty()) progress_.step_seconds = median(step_seconds_);
  if (!losses_.empty()) progress_.loss = mean(losses_);
  progress_.awaits = !said_.empty()      ? said_
                     : !unsaved_.empty() ? unsaved_
                     : idle_since_       ? director_->waiting_for()
                                         : "";
  if (const Status status = write_progress(progress_, options_.folder / "report.json");
      !status.ok()) {
    events_.write("report_failed", {{"why", status.to_string()}});
  }
}

Status Agent::loop() {
  while (true) {
    drain_inbox();
    drain_notices();
    if (reset_wanted_) {
      reset_wanted_ = false;
      SKARV_TRY(bring_up(director_->reset()));
      continue;
    }
    while (auto order = director_->next_order(Clock::real().now())) {
      if (!training_since_) training_since_ = Clock::real().now();
      said_.clear();
      if (order->apply || order->snapshot) {
        events_.write("ordered",
                      {{"step", order->step},
                       {"apply", order->apply ? order->apply->round : 0},
                       {"verdict", order->apply ? static_cast<int>(order->apply->verdict) : -1},
                       {"snapshot", order->snapshot ? order->snapshot->round : 0}});
      }
      if (order->inner_snapshot >= 0) keep_journal();
      group_->send(*order);
    }
    if (auto apply = director_->take_apply()) group_->send(*apply);
    drain_notices();

    const Time now = Clock::real().now();
    const bool over = director_->finished() && service_->status().finished;
    const bool stands = director_->idle() && !over && training_since_.has_value();
    if (!stands) {
      standing_since_.reset();
    } else if (!standing_since_) {
      standing_since_ = now;
    }
    const bool idle = stands && !director_->finished();
    if (idle && !idle_since_) idle_since_ = now;
    if (!idle && idle_since_) {
      progress_.outer_wait_seconds += to_seconds(now - *idle_since_);
      idle_since_.reset();
    }
    SKARV_TRY(service_->failure());
    if (over || director_->stopped()) break;
    if (num_interrupts() > 0) {
      director_->stop_at_boundary();
      // No boundary comes while the protocol stands still, or before the first step.
      const bool stuck = standing_since_ && now - *standing_since_ > kStandstill;
      if (stuck || !training_since_) break;
    }
    if (num_interrupts() > 1) {
      return Status(Code::kCancelled, Scope::kRun, "interrupted twice: stopped at once");
    }
    consider_checkpoint();
    tell(false);
    SKARV_ASSIGN(const auto event, group_->next(now + std::chrono::milliseconds(100)));
    if (event) SKARV_TRY(handle(*event));
  }
  return save_last(director_->finished() && service_->status().finished);
}

Status Agent::save_last(bool finished) {
  // What was told to the service last is in its state before it is put away.
  const Time deadline = Clock::real().now() + kStopLimit;
  while (service_->status().step < director_->steps_done() && Clock::real().now() < deadline) {
    Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(2));
  }
  service_->stop();
  if (saving_.joinable()) saving_.join();
  const Director::Stable& stable = director_->stable();
  const int64_t done = director_->steps_done();
  const PutAway put_away{director_->journal(), service_->merger_residuals()};
  // Where the protocol stood still, steps were trained since the snapshot of a round that is not
  // merged: the run goes on from that snapshot and trains them again.
  const bool at_snapshot = stable.step == put_away.journal.state().snapshot_step;
  const bool whole = !finished && stable.from_inner && (stable.step == done || at_snapshot);
  const InnerState inner{stable.from_inner ? stable.parity : -1, whole ? stable.step : done};
  progress_.steps = inner.step;
  SKARV_TRY(save_checkpoint(options_.folder, options_.job.run, *table_,
                            OuterCopy::of(*keeper_, *table_), *group_->memory(), inner,
                            whole ? &put_away : nullptr)
                .status()
                .wrap("the last checkpoint"));
  if (finished) return Status();
  return Status(Code::kCancelled, Scope::kRun,
                cat("stopped at step ", inner.step, "; everything is saved"))
      .with_hint("go on with the same command; skarv train wants --resume in it");
}

}  // namespace skarv
