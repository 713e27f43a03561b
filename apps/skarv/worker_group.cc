#include "worker_group.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/digest.h"
#include "base/exit_code.h"
#include "base/text.h"

namespace skarv {

namespace {

using handoff::Message;

constexpr auto kSendLimit = std::chrono::seconds(10);
constexpr auto kSurvivorLimit = std::chrono::seconds(3);

Time in(Duration duration) { return Clock::real().now() + duration; }

// A socket's path is short by law; a run folder's need not be.
std::filesystem::path socket_path(const std::filesystem::path& folder) {
  const auto path = folder / "workers.sock";
  if (path.native().size() < 100) return path;
  return std::filesystem::temp_directory_path() /
         ("skarv-" + digest_of(path.native()).short_hex() + ".sock");
}

std::filesystem::path registry_path(const std::filesystem::path& folder) {
  return folder / "workers.json";
}

bool is_living_worker(pid_t pid) {
  const auto name = read_file(cat("/proc/", pid, "/comm"));
  return name.ok() && name->starts_with("skarv-worker") && ::kill(pid, 0) == 0;
}

}  // namespace

WorkerGroup::WorkerGroup(WorkerGroupOptions options, const SlabTable& table, EventLog& events,
                         handoff::ChannelListener listener, FileHandle wake)
    : options_(std::move(options)),
      table_(table),
      events_(events),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      members_(options_.devices.size()) {}

WorkerGroup::~WorkerGroup() { stop(Clock::real().now()); }

Result<std::unique_ptr<WorkerGroup>> WorkerGroup::open(WorkerGroupOptions options,
                                                       const SlabTable& table, EventLog& events) {
  SKARV_TRY(make_directories(options.folder));
  SKARV_ASSIGN(auto listener, handoff::ChannelListener::listen(socket_path(options.folder)));
  FileHandle wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return io_error("cannot make an event descriptor", "eventfd", errno);
  std::unique_ptr<WorkerGroup> group(
      new WorkerGroup(std::move(options), table, events, std::move(listener), std::move(wake)));
  int num_living = 0;
  const auto before = read_json(registry_path(group->options_.folder));
  if (before.ok() && before->is_object() && before->contains("session") &&
      (*before)["session"].is_string() && before->contains("pids")) {
    group->session_ = (*before)["session"];
    for (const Json& pid : (*before)["pids"]) {
      if (pid.is_number_integer() && is_living_worker(pid.get<pid_t>())) ++num_living;
    }
  } else {
    std::random_device random;
    Hasher hasher;
    for (int i = 0; i < 8; ++i) hasher.add_number(random());
    group->session_ = hasher.finish().short_hex();
  }
  const Time deadline = in(kSurvivorLimit);
  auto num_here = [&] {
    return std::count_if(group->members_.begin(), group->members_.end(),
                         [](const Member& member) { return member.channel.has_value(); });
  };
  while (num_here() < num_living && Clock::real().now() < deadline) {
    if (!group->take_newcomer(deadline).ok()) break;
  }
  if (num_living > 0) {
    events.write(
        "workers_adopted",
        {{"living", num_living}, {"came", num_here()}, {"memory", group->memory_.has_value()}});
  }
  return group;
}

std::vector<pid_t> WorkerGroup::pids() const {
  std::vector<pid_t> pids;
  for (const Member& member : members_) pids.push_back(member.pid);
  return pids;
}

void WorkerGroup::wake() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

WorkerGroup::Lost WorkerGroup::lost_by_exit(int rank) {
  Child& child = *members_[static_cast<size_t>(rank)].child;
  const auto log = options_.folder / cat("worker-", rank, ".log");
  return {rank, cat(child.ending(), ": ", last_message(log)), may_heal(child.exit_code())};
}

Status WorkerGroup::status_of(const Lost& lost) const {
  const std::string what = cat("worker of ", options_.devices[lost.rank], ": ", lost.why);
  if (lost.may_heal) return Status(Code::kUnavailable, Scope::kPeer, what);
  return Status(Code::kFailedPrecondition, Scope::kConfig, what);
}

void WorkerGroup::drop(int rank) {
  Member& member = members_[rank];
  if (member.child) {
    member.child->signal(SIGKILL);
    member.child->wait(in(std::chrono::seconds(5)));
  } else if (member.pid > 0 && is_living_worker(member.pid)) {
    ::kill(member.pid, SIGKILL);
  }
  member = Member();
}

void WorkerGroup::drop_suspects() {
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    const Member& member = members_[rank];
    const Duration silent = Clock::real().now() - member.heard;
    if (!member.channel || member.ready < 0 || silent < options_.suspect_limit) continue;
    events_.write("worker_lost", {{"device", options_.devices[rank]},
                                  {"why", cat("its peers miss it, and not a word for ",
                                              human_seconds(to_seconds(silent)))}});
    drop(static_cast<int>(rank));
  }
}

Status WorkerGroup::start_missing() {
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    Member& member = members_[rank];
    if (member.channel || (member.child && member.child->running())) continue;
    ChildOptions child;
    child.command = {options_.program, "run",
                     "--agent",        socket_path(options_.folder).string(),
                     "--device",       options_.devices[rank],
                     "--session",      session_};
    const handoff::Assign& assign = options_.assignments[rank];
    if (!assign.plugin.empty())
      child.command.insert(child.command.end(), {"--plugin", assign.plugin});
    child.log = options_.folder / cat("worker-", rank, ".log");
    child.environment = {{"OMP_WAIT_POLICY", "passive"},
                         {"OMP_NUM_THREADS", std::to_string(assign.num_threads)}};
    child.dies_with_parent = false;  // it keeps the memory while its agent is away, then leaves
    SKARV_ASSIGN(member.child, Child::start(child));
    if (incarnation_ > 0) ++num_restarts_;
    member.pid = member.child->pid();
  }
  return write_registry();
}

Status WorkerGroup::write_registry() const {
  Json pids = Json::array();
  for (pid_t pid : this->pids()) pids.push_back(pid);
  const Json registry = {{"session", session_}, {"pids", pids}};
  return write_file_atomic(registry_path(options_.folder), registry.dump());
}

Status WorkerGroup::take_newcomer(Time deadline) {
  auto channel = listener_.accept(deadline);
  if (!channel.ok()) return channel.status();
  auto received = channel->receive(in(kSendLimit));
  const handoff::Hello* hello =
      received.ok() ? std::get_if<handoff::Hello>(&received->message) : nullptr;
  if (hello == nullptr) {
    // Not one of ours, or one that died while it spoke: nothing depends on it.
    events_.write("worker_refused",
                  {{"why", received.ok() ? "it did not say hello" : received.status().message()}});
    return Status();
  }
  const auto found = std::find(options_.devices.begin(), options_.devices.end(), hello->device);
  if (found == options_.devices.end()) {
    events_.write("worker_refused", {{"why", "no such device here: " + hello->device}});
    return Status();
  }
  const int rank = static_cast<int>(found - options_.devices.begin());
  if (hello->session != session_ || members_[static_cast<size_t>(rank)].channel) {
    // One that outlived another run in this place, or a second one for a device.
    events_.write("worker_refused", {{"why", "it is not ours: " + hello->device}});
    (void)channel->send(handoff::Stop{}, in(kSendLimit));
    return Status();
  }
  if (received->file && !memory_) {
    auto memory = handoff::SharedMemory::adopt(std::move(received->file), table_);
    if (memory.ok()) {
      memory_ = std::move(*memory);
    } else {
      events_.write("memory_refused", {{"why", memory.status().to_string()}});
    }
  }
  Member& member = members_[rank];
  member.channel = std::move(*channel);
  member.pid = static_cast<pid_t>(hello->pid);
  member.address.clear();
  member.ready = -1;
  member.heard = Clock::real().now();
  return Status();
}

Status WorkerGroup::gather(Time deadline) {
  std::vector<bool> assigned(members_.size(), false);
  for (size_t rank = 0; rank < members_.size(); ++rank)
    assigned[rank] = !members_[rank].address.empty();
  while (true) {
    bool complete = true;
    for (size_t rank = 0; rank < members_.size(); ++rank) {
      Member& member = members_[rank];
      if (member.channel && !assigned[rank]) {
        handoff::Assign assign = options_.assignments[rank];
        assign.rank = static_cast<int>(rank);
        if (const Status sent = member.channel->send(assign, in(kSendLimit), memory_->fd());
            !sent.ok()) {
          drop(static_cast<int>(rank));
          return sent.wrap("worker of " + options_.devices[rank]);
        }
        assigned[rank] = true;
      }
      complete = complete && !member.address.empty();
    }
    if (complete) return Status();

    SKARV_ASSIGN(std::optional<Event> event, next(deadline));
    if (!event) {
      std::string waiting;
      for (size_t rank = 0; rank < members_.size(); ++rank) {
        if (members_[rank].address.empty()) waiting += " " + options_.devices[rank];
      }
      return Status(Code::kDeadlineExceeded, Scope::kPeer, "workers did not come up:" + waiting);
    }
    if (const Lost* lost = std::get_if<Lost>(&*event)) {
      return status_of(*lost);
    }
    // Listening is noted by next().
  }
}

Status WorkerGroup::bring_up(const handoff::Load& load) {
  Status last;
  for (int attempt = 0; attempt < options_.max_failed_starts; ++attempt) {
    const Time deadline = in(options_.start_limit);
    auto all = [&](auto&& done) -> Status {
      while (!std::all_of(members_.begin(), members_.end(), done)) {
        SKARV_ASSIGN(std::optional<Event> event, next(deadline));
        if (!event) {
          for (size_t rank = 0; rank < members_.size(); ++rank) {
            if (done(members_[rank])) continue;
            return Status(Code::kDeadlineExceeded, Scope::kPeer,
                          options_.devices[rank] + " did not get ready");
          }
        }
        if (const Lost* lost = std::get_if<Lost>(&*event)) {
          return status_of(*lost);
        }
      }
      return Status();
    };
    drop_suspects();
    last = start_missing();
    if (last.ok()) last = gather(deadline);
    if (last.ok()) {
      handoff::Connect connect;
      connect.incarnation = ++incarnation_;
      connect.store = (options_.folder / cat("store-", ::getpid(), "-", incarnation_)).string();
      for (size_t rank = 0; rank < members_.size(); ++rank) {
        connect.addresses.push_back(members_[rank].address);
        connect.makers.push_back(options_.assignments[rank].maker);
        members_[rank].loaded = false;
      }
      SKARV_TRY(make_directories(connect.store));
      send(connect);
      last = all([&](const Member& member) { return member.ready == incarnation_; });
      // The rendezvous has served its turn.
      std::error_code ignored;
      std::filesystem::remove_all(connect.store, ignored);
    }
    if (last.ok()) {
      send(load);
      last = all([](const Member& member) { return member.loaded; });
    }
    if (last.ok()) {
      events_.write("workers_up", {{"incarnation", incarnation_}, {"step", load.step}});
      return Status();
    }
    events_.write("workers_failed", {{"attempt", attempt + 1}, {"why", last.to_string()}});
    if (last.scope() == Scope::kConfig) {
      return last.with_hint("its log: " + (options_.folder / "worker-*.log").string());
    }
  }
  return last.wrap(cat("workers failed ", options_.max_failed_starts, " times in a row"))
      .with_hint("their logs: " + (options_.folder / "worker-*.log").string());
}

void WorkerGroup::send(const Message& message) {
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    Member& member = members_[rank];
    if (!member.channel) continue;
    const Status status = member.channel->send(message, in(kSendLimit));
    if (!status.ok() && !pending_) {
      pending_ = Lost{static_cast<int>(rank), status.message()};
    }
  }
}

Result<std::optional<WorkerGroup::Event>> WorkerGroup::next(Time deadline) {
  while (true) {
    if (pending_) {
      const Lost lost = *pending_;
      pending_.reset();
      broken_ = incarnation_;
      drop(lost.rank);
      return std::optional<Event>(lost);
    }
    std::vector<pollfd> waited = {{listener_.fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    std::vector<int> ranks;
    bool buffered = false;
    for (size_t rank = 0; rank < members_.size(); ++rank) {
      Member& member = members_[rank];
      if (!member.channel) {
        // A worker that dies before it spoke is seen by its exit alone.
        if (member.child && !member.child->running()) {
          const Lost lost = lost_by_exit(static_cast<int>(rank));
          member.child.reset();
          broken_ = incarnation_;
          return std::optional<Event>(lost);
        }
        continue;
      }
      waited.push_back({member.channel->fd(), POLLIN, 0});
      ranks.push_back(static_cast<int>(rank));
      buffered = buffered || member.channel->buffered();
    }
    const Time now = Clock::real().now();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
    // Wakes now and then for workers that die before they spoke.
    const int timeout = buffered ? 0 : static_cast<int>(std::clamp<int64_t>(left, 0, 200));
    if (::poll(waited.data(), waited.size(), timeout) < 0 && errno != EINTR) {
      return io_error("poll failed", "workers", errno);
    }
    if (waited[1].revents & POLLIN) {
      uint64_t count;
      (void)!::read(wake_.get(), &count, sizeof count);
      return std::optional<Event>(Woken{});
    }
    if (waited[0].revents & POLLIN) {
      SKARV_TRY(take_newcomer(in(kSendLimit)));
      return std::optional<Event>(Woken{});  // whoever gathers workers has to greet it
    }
    for (size_t i = 0; i < ranks.size(); ++i) {
      Member& member = members_[ranks[i]];
      if (!(waited[i + 2].revents & (POLLIN | POLLHUP | POLLERR)) && !member.channel->buffered()) {
        continue;
      }
      auto received = member.channel->receive(in(kSendLimit));
      if (!received.ok()) {
        Lost lost{ranks[i], received.status().message()};
        if (member.child && member.child->wait(in(std::chrono::milliseconds(200)))) {
          lost = lost_by_exit(ranks[i]);
        }
        broken_ = incarnation_;
        drop(ranks[i]);
        return std::optional<Event>(lost);
      }
      member.heard = Clock::real().now();
      if (auto* listening = std::get_if<handoff::Listening>(&received->message)) {
        member.address = listening->address;
      } else if (auto* ready = std::get_if<handoff::Ready>(&received->message)) {
        member.ready = ready->incarnation;
      } else if (std::get_if<handoff::Loaded>(&received->message)) {
        member.loaded = true;
      } else if (auto* failed = std::get_if<handoff::Failed>(&received->message)) {
        // A survivor's complaint about a group that is being replaced already.
        if (failed->peer_fault && failed->incarnation <= broken_) continue;
        broken_ = incarnation_;
        if (!failed->peer_fault) drop(ranks[i]);
        return std::optional<Event>(Lost{ranks[i], failed->message});
      }
      return std::optional<Event>(Spoke{ranks[i], std::move(received->message)});
    }
    for (int rank : ranks) {
      // Heartbeats begin once a worker is ready; until then the limit for starting holds.
      const Duration silent = Clock::real().now() - members_[rank].heard;
      if (members_[rank].ready < 0 || silent < options_.silence_limit) continue;
      broken_ = incarnation_;
      drop(rank);
      return std::optional<Event>(
          Lost{rank, cat("not a word for ", human_seconds(to_seconds(silent)))});
    }
    if (!buffered && Clock::real().now() >= deadline) return std::optional<Event>();
  }
}

void WorkerGroup::stop(Time deadline) {
  for (Member& member : members_) {
    if (member.channel) (void)member.channel->send(handoff::Stop{}, deadline);
  }
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    Member& member = members_[rank];
    if (member.child) member.child->stop(deadline);
    drop(static_cast<int>(rank));
  }
  std::error_code ignored;
  std::filesystem::remove(registry_path(options_.folder), ignored);
  std::filesystem::remove(socket_path(options_.folder), ignored);
}

}  // namespace skarv
