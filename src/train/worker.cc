#include "train/worker.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/text.h"
#include "comm/lobby.h"
#include "device/cpu_memory.h"
#include "device/device.h"
#include "device/numerics.h"
#include "device/ordinal.h"
#include "device/plugin.h"
#include "handoff/memory.h"
#include "train/order_queue.h"
#include "train/probe.h"
#include "train/trainer.h"

namespace skarv::train {
namespace {

constexpr Duration kSendPatience = std::chrono::seconds(10);
constexpr Duration kAssignPatience = std::chrono::minutes(1);
// How long a blocked read goes between looks at the end of the session.
constexpr Duration kSlice = std::chrono::milliseconds(200);
// The agent decides how long an island waits for others (protocol.md, rule 12) and cancels the wait
// by Connect, Stop or its own end. This only ends a wait that everyone has forgotten.
constexpr Duration kLongestRound = std::chrono::hours(6);

Time in(Duration duration) { return Clock::real().now() + duration; }

class Session : public TrainerHost {
 public:
  Session(handoff::Channel channel, const WorkerOptions& options,
          std::optional<handoff::SharedMemory> kept)
      : channel_(std::move(channel)), options_(options), memory_(std::move(kept)) {}
  ~Session() override { end_threads(); }

  Result<WorkerEnd> run() {
    const Status status = talk();
    end_threads();
    if (agent_gone_) {
      trainer_.reset();  // it refers to the memory
      return WorkerEnd{false, std::move(memory_)};
    }
    if (!status.ok()) return status;
    return WorkerEnd{true, std::nullopt};
  }

  Status report(const handoff::Message& message) override {
    return channel_.send(message, in(kSendPatience));
  }
  Result<handoff::ApplyOrder> await_apply(int64_t round) override {
    return orders_.take_apply(round, in(kLongestRound));
  }

 private:
  Status talk() {
    const handoff::Hello hello{.device = options_.device,
                               .session = options_.session,
                               .pid = ::getpid(),
                               .torch = options_.torch};
    SKARV_TRY(note_end(channel_.send(hello, in(kSendPatience), memory_ ? memory_->fd() : -1)));
    auto received = channel_.receive(in(kAssignPatience));
    if (!received.ok()) return note_end(received.status());
    handoff::Received first = std::move(received).value();
    if (std::holds_alternative<handoff::Stop>(first.message)) return Status();
    const auto* assign = std::get_if<handoff::Assign>(&first.message);
    if (assign == nullptr) {
      return bug(cat("the agent began with ", handoff::name_of(first.message)));
    }
    if (Status status = prepare(*assign, std::move(first.file)); !status.ok()) return fail(status);
    reader_ = std::thread([this] { read_orders(); });
    heart_ = std::thread([this] { beat(); });
    SKARV_TRY(note_end(report(handoff::Listening{lobby_->address()})));
    return follow_orders();
  }

  // An agent that is gone is no failure of the worker.
  Status note_end(const Status& status) {
    if (status.code() == Code::kUnavailable) agent_gone_ = true;
    return status;
  }

  void end_threads() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    if (reader_.joinable()) reader_.join();
    if (heart_.joinable()) heart_.join();
  }

  Status prepare(const handoff::Assign& assign, FileHandle memory) {
    detection_time_ = from_seconds(assign.detection_seconds);
    // The plug-in before anything of libtorch computes.
    std::string torch_name = assign.maker == "cpu" ? "cpu" : "cuda";
    if (!assign.plugin.empty()) {
      SKARV_ASSIGN(Plugin plugin, load_plugin(assign.plugin));
      torch_name = plugin.name;
    }
    if (options_.owns_process) {
      count_cpu_memory();
      SKARV_TRY(apply(Numerics{.num_threads = assign.num_threads}));
    }
    SKARV_ASSIGN(auto assignment, Assignment::create(assign));
    if (assignment->device() != options_.device) {
      return bug(cat("rank ", assign.rank, " is ", assignment->device(), ", this worker is ",
                     options_.device));
    }
    SKARV_ASSIGN(Device device, open_by_ordinal(torch_name, assign.ordinal, assign.pace > 0));
    SKARV_TRY(device.make_current());
    base_bytes_ = static_cast<int64_t>(resident_bytes());

    samples_ = options_.samples;
    if (!samples_) {
      SKARV_ASSIGN(samples_, open_training_samples(assignment->run));
    }
    SKARV_ASSIGN(auto adopted, handoff::SharedMemory::adopt(std::move(memory), assignment->table));
    memory_.emplace(std::move(adopted));
    SKARV_ASSIGN(trainer_, Trainer::create(assignment, device, *samples_, *memory_, progress_,
                                           detection_time_));
    net::Options net;
    net.run = cat(digest_of(assignment->run).hex(), " ", assign.island);
    net.name = options_.device;
    net.detection_time = detection_time_;
    SKARV_ASSIGN(lobby_, comm::Lobby::open(options_.transport, options_.address, net));
    return Status();
  }

  Status follow_orders() {
    for (;;) {
      auto order = orders_.take(in(kSlice));
      if (!order.ok()) continue;
      if (std::holds_alternative<handoff::Stop>(*order)) break;
      Status status = follow(*order);
      if (status.ok() || status.code() == Code::kCancelled) continue;
      if (orders_.cancelled()) continue;  // what failed is void already
      if (status.scope() != Scope::kPeer && status.scope() != Scope::kLink) return fail(status);
      // Leaving closes the connections, so that every other rank notices at once. What was ordered
      // ahead goes with the group.
      trainer_->leave();
      left_ = true;
      (void)report(handoff::Failed{status.to_string(), incarnation_, /*peer_fault=*/true});
    }
    trainer_->leave();
    return Status();
  }

  Status follow(const handoff::Message& order) {
    if (const auto* connect = std::get_if<handoff::Connect>(&order)) {
      incarnation_ = connect->incarnation;
      left_ = false;
      progress_.begin(cat("connect incarnation ", incarnation_));
      SKARV_TRY(trainer_->join(*connect, *lobby_, orders_.cancelled()));
      return report(handoff::Ready{incarnation_, base_bytes_});
    }
    if (left_) return Status();
    if (const auto* load = std::get_if<handoff::Load>(&order)) {
      SKARV_TRY(trainer_->load(*load));
      return report(handoff::Loaded{load->step});
    }
    if (const auto* step = std::get_if<handoff::Step>(&order)) {
      SKARV_ASSIGN(handoff::StepDone done, trainer_->run(*step, *this));
      progress_.begin("await the next step");
      return report(done);
    }
    return bug(cat("a worker takes no ", handoff::name_of(order)));
  }

  Status fail(const Status& status) {
    // The agent may be gone too; then nobody is left to tell.
    (void)report(handoff::Failed{status.to_string(), incarnation_, /*peer_fault=*/false});
    return status;
  }

  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }

  void read_orders() {
    while (!ended()) {
      auto received = channel_.receive(in(kSlice));
      if (!received.ok() && received.status().code() == Code::kDeadlineExceeded) continue;
      if (received.ok()) {
        orders_.put(std::move(received->message));
      } else {
        agent_gone_ = true;
        orders_.end();
      }
      if (orders_.cancelled()) {
        trainer_->abort(Status(Code::kCancelled, Scope::kPeer, "the agent called off this step"));
      }
      if (!received.ok()) return;
    }
  }

  void beat() {
    const Duration interval = detection_time_ / 5;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, interval, [this] { return ended_; })) {
      lock.unlock();
      (void)report(handoff::Heartbeat{progress_.num_done(), progress_.doing()});
      lock.lock();
    }
  }

  handoff::Channel channel_;
  const WorkerOptions& options_;
  OrderQueue orders_;
  Progress progress_;
  Duration detection_time_{};
  int64_t base_bytes_ = 0;
  int64_t incarnation_ = 0;
  bool left_ = false;  // the group of this incarnation, after a peer was lost
  std::shared_ptr<const SampleSource> samples_;
  std::optional<handoff::SharedMemory> memory_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<comm::Lobby> lobby_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::atomic<bool> agent_gone_{false};
  std::thread reader_, heart_;
};

}  // namespace

Result<WorkerEnd> run_worker(handoff::Channel channel, const WorkerOptions& options,
                             std::optional<handoff::SharedMemory> kept) {
  return Session(std::move(channel), options, std::move(kept)).run();
}

}  // namespace skarv::train
