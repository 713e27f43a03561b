#include "train/trainer.h"

#include <cmath>

#include "base/text.h"
#include "device/torch_error.h"
#include "train/shared_state.h"
#include "train/trace.h"

namespace skarv::train {
namespace {

// Before the first step is through nobody knows how long one takes. Dead and stopped peers are
// found by the connections' heartbeats within the detection time; this only bounds the wait for one
// that answers heartbeats and computes nothing.
constexpr Duration kFirstStepPatience = std::chrono::minutes(5);
constexpr double kPatienceSteps = 5;

// The step that is traced: caches are warm by then.
constexpr int64_t kTracedStep = 2;

}  // namespace

Trainer::Trainer(std::shared_ptr<const Assignment> assignment, const Device& device,
                 const handoff::SharedMemory& memory, Progress& progress, Duration detection_time)
    : assignment_(std::move(assignment)),
      device_(device),
      memory_(memory),
      progress_(progress),
      detection_time_(detection_time),
      store_(assignment_->run.model, assignment_->ownership.tensors_held[assignment_->rank],
             assignment_->run.precision, device.torch_device()),
      optimizer_((store_.initialise(assignment_->run.seed), assignment_->run), assignment_->table,
                 assignment_->ownership.slabs_owned_by(assignment_->rank), store_) {}

Result<std::unique_ptr<Trainer>> Trainer::create(std::shared_ptr<const Assignment> assignment,
                                                 const Device& device, const SampleSource& samples,
                                                 const handoff::SharedMemory& memory,
                                                 Progress& progress, Duration detection_time) {
  return guarded("prepare training", [&]() -> Result<std::unique_ptr<Trainer>> {
    std::unique_ptr<Trainer> trainer(
        new Trainer(std::move(assignment), device, memory, progress, detection_time));
    SKARV_TRY(check_memory(trainer->optimizer_, trainer->assignment_->table, memory));
    SKARV_ASSIGN(trainer->backend_,
                 RankBackend::create(*trainer->assignment_, device, trainer->store_,
                                     trainer->optimizer_, samples));
    return trainer;
  });
}

Status Trainer::join(const handoff::Connect& connect, comm::Lobby& lobby,
                     const std::atomic<bool>& cancelled) {
  leave();
  // Workers start at different speeds: the first meeting may take longer than a failure would.
  SKARV_ASSIGN(Membership membership,
               join_island(*assignment_, connect, lobby, device_, detection_time_ * 2, cancelled));
  std::lock_guard lock(mutex_);
  if (cancelled) return Status(Code::kCancelled, Scope::kPeer, "a newer order to connect came");
  membership_ = std::move(membership);
  return Status();
}

void Trainer::leave() {
  backend_->clear();
  Membership old;
  std::lock_guard lock(mutex_);
  std::swap(old, membership_);
  if (old.edges) {
    old.edges->abort(Status(Code::kCancelled, Scope::kPeer, "this rank left the island"));
  }
  old.exchanges.clear();
}

void Trainer::abort(const Status& why) {
  std::lock_guard lock(mutex_);
  if (membership_.edges) membership_.edges->abort(why);
}

Duration Trainer::patience() const {
  if (num_steps_ == 0) return kFirstStepPatience;
  return detection_time_ + from_seconds(kPatienceSteps * longest_step_seconds_);
}

Status Trainer::gather(int fragment) {
  for (size_t group = 0; group < membership_.exchanges.size(); ++group) {
    if (!membership_.exchanges[group]) continue;
    std::vector<int> slabs;
    for (int slab : assignment_->ownership.groups[group].slabs) {
      if (fragment < 0 || assignment_->table[slab].fragment == fragment) slabs.push_back(slab);
    }
    SKARV_ASSIGN([[maybe_unused]] comm::Exchanged done,
                 membership_.exchanges[group]->gather(
                     slabs, [this](int slab) { return optimizer_.value(slab); }, patience()));
  }
  return Status();
}

Status Trainer::load(const handoff::Load& load) {
  progress_.begin("load weights");
  if (!membership_.edges) return bug("load before the island is connected");
  for (int parity : {load.parity, load.moments_parity}) {
    if (parity < -1 || parity > 1) return bug(cat("inner snapshot ", parity));
  }
  if (load.from_inner) {
    if (load.parity < 0) return bug("a load from an inner snapshot names none");
    SKARV_TRY(read_inner(optimizer_, memory_, load.parity));
  } else {
    SKARV_TRY(read_outer(optimizer_, memory_, load.moments_parity));
  }
  SKARV_TRY(gather(-1));
  progress_.end();
  return Status();
}

Status Trainer::apply(const handoff::ApplyOrder& order) {
  progress_.begin(cat("apply round ", order.round));
  SKARV_TRY(apply_outer(optimizer_, owned_slabs(optimizer_, assignment_->table, order.fragment),
                        memory_, order.verdict, order.alpha));
  progress_.end();
  return Status();
}

Status Trainer::exchange(const handoff::SnapshotOrder& order, int64_t step, TrainerHost& host) {
  SKARV_ASSIGN(
      double squared_norm,
      write_gradients(optimizer_, owned_slabs(optimizer_, assignment_->table, order.fragment),
                      memory_));
  SKARV_TRY(host.report(handoff::SnapshotDone{order.round, step, squared_norm}));
  progress_.begin(cat("await the merged weights of round ", order.round));
  SKARV_ASSIGN(handoff::ApplyOrder answer, host.await_apply(order.round));
  answer.verdict = handoff::Verdict::kReset;
  SKARV_TRY(apply(answer));
  return host.report(handoff::Applied{order.round, step});
}

Status Trainer::finish(const handoff::Step& step, TrainerHost& host) {
  if (step.snapshot) {
    progress_.begin(cat("write the snapshot of round ", step.snapshot->round));
    SKARV_ASSIGN(double squared_norm,
                 write_weights(optimizer_,
                               owned_slabs(optimizer_, assignment_->table, step.snapshot->fragment),
                               memory_));
    SKARV_TRY(host.report(handoff::SnapshotDone{step.snapshot->round, step.step, squared_norm}));
    progress_.end();
  }
  if (step.inner_snapshot >= 0) {
    if (step.inner_snapshot > 1) return bug(cat("inner snapshot ", step.inner_snapshot));
    progress_.begin("write the inner snapshot");
    SKARV_TRY(write_inner(optimizer_, memory_, step.inner_snapshot));
    SKARV_TRY(host.report(handoff::InnerSnapshotDone{step.step, step.inner_snapshot}));
    progress_.end();
  }
  if (num_steps_ == kTracedStep && !assignment_->trace.empty()) {
    return write_trace(assignment_->trace, assignment_->device(), assignment_->rank, step.step,
                       records_);
  }
  return Status();
}

Result<handoff::StepDone> Trainer::run(const handoff::Step& step, TrainerHost& host) {
  if (!membership_.edges) return bug("step before the island is connected");
  const Time start = Clock::real().now();
  if (step.apply) {
    SKARV_TRY(apply(*step.apply));
    SKARV_TRY(gather(step.apply->fragment));
    SKARV_TRY(host.report(handoff::Applied{step.apply->round, step.step}));
  }
  StepContext context{.step = step.step, .membership = &membership_, .patience = patience()};
  SKARV_ASSIGN(context.batch, Batch::create(assignment_->island, step.samples));
  if (step.exchange) {
    context.exchange = [&] { return exchange(*step.exchange, step.step, host); };
  }
  const int64_t sent_before = membership_.edges->num_bytes_sent();
  const int64_t missed_before = backend_->num_missed_slots();
  backend_->begin(std::move(context));
  SKARV_TRY(execute(assignment_->actions(), *backend_, Clock::real(), progress_, &records_));

  handoff::StepDone done{.step = step.step};
  SKARV_ASSIGN(done.loss_sum, backend_->loss_sum());
  backend_->clear();
  done.tokens = backend_->loss_tokens();
  std::vector<bool> counted(assignment_->island.pipelines.size());
  for (const StageMap::Seat& seat : assignment_->stages.seats_of(assignment_->rank)) {
    if (counted[seat.pipeline]) continue;
    counted[seat.pipeline] = true;
    done.work_tokens +=
        assignment_->island.pipelines[seat.pipeline].samples * assignment_->run.model.context;
  }
  done.gradient_norm = backend_->clip().norm;
  done.skipped = backend_->clip().skip;
  for (const ActionRecord& record : records_) {
    if (!is_compute(record.action.kind)) done.wait_seconds += to_seconds(record.end - record.start);
  }
  done.busy_seconds = backend_->busy_seconds();
  done.missed_slots = backend_->num_missed_slots() - missed_before;
  done.bytes_sent = membership_.edges->num_bytes_sent() - sent_before;
  if (auto memory = device_.memory(); memory.ok()) done.peak_bytes = memory->peak_bytes;
  SKARV_TRY(finish(step, host));
  done.seconds = to_seconds(Clock::real().now() - start);
  longest_step_seconds_ = std::max(longest_step_seconds_, done.seconds);
  ++num_steps_;
  return done;
}

}  // namespace skarv::train
