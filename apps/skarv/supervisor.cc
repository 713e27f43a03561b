#include "supervisor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "base/exit_code.h"
#include "base/file.h"
#include "base/text.h"
#include "network.h"
#include "relay.h"

namespace skarv {

namespace {

constexpr size_t kMaxStartsAMinute = 8;
constexpr size_t kMaxFailuresAMinute = 2;  // that are neither signals nor somebody's absence
constexpr uintmax_t kFullBelow = 1 << 20;
constexpr auto kStartLimit = std::chrono::seconds(20);

// A port that was free a moment ago, below the range from which the kernel takes ports for outgoing
// connections, of which a run has many. Should another program take it before the listener does,
// the listener says so.
Result<std::string> free_address() {
  std::random_device random;
  for (int tries = 0; tries < 200; ++tries) {
    const auto port = static_cast<uint16_t>(10000 + random() % 20000);
    const FileHandle socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (socket &&
        ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      return cat("127.0.0.1:", port);
    }
  }
  return io_error("cannot find a free port", "127.0.0.1", errno);
}

// Each site has its own copy: sites share no files.
Status copy_data(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::create_directories(to, error);
  for (const auto& entry : std::filesystem::directory_iterator(from, error)) {
    if (!entry.is_regular_file()) continue;
    const auto target = to / entry.path().filename();
    if (std::filesystem::exists(target) &&
        std::filesystem::file_size(target) == entry.file_size()) {
      continue;
    }
    std::filesystem::copy_file(entry.path(), target,
                               std::filesystem::copy_options::overwrite_existing, error);
    if (error) break;
    // The manifest vouches for times of change.
    std::filesystem::last_write_time(target, entry.last_write_time(), error);
  }
  if (error) return io_error("cannot copy the data", to.string(), error.value());
  return Status();
}

}  // namespace

Supervisor::Supervisor(SupervisorOptions options)
    : options_(std::move(options)), events_("supervisor") {}

Supervisor::~Supervisor() { stop(std::chrono::seconds(0)); }

std::filesystem::path Supervisor::island_folder(const std::string& island) const {
  return options_.folder / island;
}

Status Supervisor::secure(const std::string& name, const std::filesystem::path& home) const {
  if (options_.plain) return Status();
  return give_certificates(options_.folder / "certs", options_.job.run.name, name, home / "certs");
}

std::vector<std::string> Supervisor::security_flags(const std::filesystem::path& home) const {
  if (options_.plain) return {"--plain"};
  return {"--certs", (home / "certs").string()};
}

Status Supervisor::prepare_folders() {
  SKARV_TRY(make_directories(options_.folder));
  SKARV_TRY(events_.open(options_.folder / "events.jsonl"));
  const std::string job = to_json(options_.job).dump(1) + "\n";
  SKARV_TRY(make_directories(options_.folder / "coordinator"));
  SKARV_TRY(write_file_atomic(options_.folder / "coordinator" / "job.json", job));
  SKARV_TRY(secure("coordinator", options_.folder / "coordinator"));
  for (const Island& island : options_.job.plan.islands) {
    SKARV_TRY(make_directories(island_folder(island.name)));
    SKARV_TRY(write_file_atomic(island_folder(island.name) / "job.json", job));
    SKARV_TRY(copy_data(options_.data, island_folder(island.name) / "data"));
    SKARV_TRY(secure(island.name, island_folder(island.name)));
  }
  return Status();
}

Status Supervisor::start_relays() {
  if (!options_.emulate_wan) return Status();
  // The coordinator stands in the first island's site; the others reach it over their link.
  const auto& islands = options_.job.plan.islands;
  const std::string& home = islands.front().name;
  for (size_t i = 0; i < islands.size(); ++i) {
    for (size_t j = i + 1; j < islands.size(); ++j) {
      const std::string &a = islands[i].name, &b = islands[j].name;
      const std::string from = site_of(islands[i]), to = site_of(islands[j]);
      const Link* link = options_.job.cluster.find_link(from, to);
      if (link == nullptr) {
        return config_error(cat("no link between ", from, " and ", to, " in the cluster file"))
            .with_hint("add a [[link]], or run without --emulate-wan");
      }
      // The larger name dials the smaller one, so that is the way that needs a road; the first
      // island of the pair also leads to the coordinator where it lives there.
      std::vector<std::pair<std::string, std::string>> targets = {
          {std::min(a, b), addresses_[std::min(a, b)]}};
      if (a == home) targets.emplace_back("coordinator", coordinator_address_);
      auto process = std::make_unique<Process>();
      process->name = cat("wan ", a, "-", b);
      const auto folder = options_.folder / "wan" / cat(a, "-", b);
      SKARV_TRY(make_directories(folder));
      std::vector<std::string> listens;
      for (const auto& [name, address] : targets) {
        SKARV_ASSIGN(const std::string listen, free_address());
        listens.push_back(listen);
        const std::string& dialer = name == "coordinator" ? b : std::max(a, b);
        routes_[{dialer, name}] = listen;
      }
      SKARV_ASSIGN(process->options.command, relay_command(*link, listens, targets, folder));
      process->options.log = folder / "relay.log";
      relays_.push_back(std::move(process));
      SKARV_TRY(launch(*relays_.back()));
    }
  }
  return Status();
}

Status Supervisor::start() {
  std::error_code error;
  self_ = std::filesystem::read_symlink("/proc/self/exe", error).string();
  SKARV_TRY(prepare_folders());
  SKARV_ASSIGN(coordinator_address_, free_address());
  for (const Island& island : options_.job.plan.islands) {
    SKARV_ASSIGN(addresses_[island.name], free_address());
  }

  coordinator_ = std::make_unique<Process>();
  coordinator_->name = "coordinator";
  const auto folder = options_.folder / "coordinator";
  coordinator_->options.command = {
      self_,      "coordinator",   "--job",    (folder / "job.json").string(),
      "--folder", folder.string(), "--listen", coordinator_address_};
  coordinator_->options.log = folder / "coordinator.log";
  auto& command = coordinator_->options.command;
  const auto security = security_flags(folder);
  command.insert(command.end(), security.begin(), security.end());
  SKARV_TRY(launch(*coordinator_));
  SKARV_TRY(start_relays());

  for (const Island& island : options_.job.plan.islands) {
    auto process = std::make_unique<Process>();
    process->name = island.name;
    const auto home = island_folder(island.name);
    auto route = [&](const std::string& to, const std::string& direct) {
      const auto found = routes_.find({island.name, to});
      return found == routes_.end() ? direct : found->second;
    };
    process->options.command = {self_,           "join",
                                "--job",         (home / "job.json").string(),
                                "--island",      island.name,
                                "--folder",      home.string(),
                                "--data",        (home / "data").string(),
                                "--listen",      addresses_[island.name],
                                "--coordinator", route("coordinator", coordinator_address_)};
    auto& join = process->options.command;
    for (const Island& other : options_.job.plan.islands) {
      const auto found = routes_.find({island.name, other.name});
      if (found != routes_.end()) {
        join.insert(join.end(), {"--route", other.name + "=" + found->second});
      }
    }
    if (options_.trace) join.push_back("--trace");
    const auto flags = security_flags(home);
    join.insert(join.end(), flags.begin(), flags.end());
    process->options.log = home / "agent.log";
    islands_.push_back(std::move(process));
    SKARV_TRY(launch(*islands_.back()));
  }
  return Status();
}

Status Supervisor::launch(Process& process) {
  const Time now = Clock::real().now();
  while (!process.starts.empty() && now - process.starts.front() > std::chrono::minutes(1)) {
    process.starts.pop_front();
  }
  if (process.starts.size() >= kMaxStartsAMinute) {
    return Status(Code::kUnavailable, Scope::kRun,
                  cat(process.name, " died ", process.starts.size(),
                      " times within a minute: ", last_message(process.options.log)))
        .with_hint("its log: " + process.options.log.string());
  }
  process.starts.push_back(now);
  SKARV_ASSIGN(process.child, Child::start(process.options));
  events_.write("started", {{"name", process.name}, {"pid", process.child->pid()}});
  write_pids();
  return Status();
}

void Supervisor::write_pids() const {
  Json pids = Json::object();
  auto add = [&](const std::unique_ptr<Process>& process) {
    if (process && process->child) pids[process->name] = process->child->pid();
  };
  add(coordinator_);
  for (const auto& process : relays_) add(process);
  for (const auto& process : islands_) add(process);
  // For people and tests; nothing depends on it.
  (void)write_file_atomic(options_.folder / "processes.json", pids.dump(1) + "\n");
}

Status Supervisor::watch() {
  Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(500));
  std::vector<Process*> all = {coordinator_.get()};
  for (const auto& process : relays_) all.push_back(process.get());
  for (const auto& process : islands_) all.push_back(process.get());
  for (Process* process : all) {
    if (process->done || process->child->running()) continue;
    const std::string how = process->child->ending();
    events_.write("ended", {{"name", process->name}, {"how", how}});
    if (process->child->ended_well()) {
      process->done = true;
      continue;
    }
    const int code = process->child->exit_code();
    if (!may_heal(code) || (code == kExitFailed && process->starts.size() >= kMaxFailuresAMinute)) {
      return explain_end(*process, how);
    }
    SKARV_TRY(launch(*process));
  }
  return Status();
}

// A full disk takes the last words too: so it is looked at.
Status Supervisor::explain_end(Process& process, const std::string& how) const {
  const Status status =
      status_of_exit(process.child->exit_code(),
                     cat(process.name, " ", how, ": ", last_message(process.options.log)));
  std::error_code error;
  const auto space = std::filesystem::space(options_.folder, error);
  if (!error && space.available < kFullBelow) {
    return status.wrap("the disk is full")
        .at(options_.folder.string())
        .with_hint("free disk space, then go on with --resume: no committed round is lost");
  }
  return status.with_hint(
      cat("its log: ", process.options.log.string(), "; once that is mended, go on with --resume"));
}

bool Supervisor::finished() const {
  for (const auto& process : islands_) {
    if (!process->done) return false;
  }
  return !islands_.empty();
}

std::vector<std::string> Supervisor::stop(Duration patience) {
  const Time deadline = Clock::real().now() + patience;
  for (const auto& process : islands_) {
    if (process->child) process->child->signal(SIGTERM);
  }
  for (const auto& process : islands_) {
    // A second SIGTERM would ask it to stop at once.
    if (process->child && !process->child->wait(deadline)) process->child->signal(SIGKILL);
  }
  std::vector<std::string> disorderly;
  for (const auto& process : islands_) {
    const bool saved = process->child && (process->child->ended_well() ||
                                          process->child->ending() == "exited with code 130");
    if (!saved) disorderly.push_back(process->name);
  }
  const Time soon = std::max(deadline, Clock::real().now()) + std::chrono::seconds(2);
  if (coordinator_ && coordinator_->child) coordinator_->child->stop(soon);
  for (const auto& process : relays_) {
    if (process->child) process->child->stop(soon);
  }
  return disorderly;
}

std::vector<IslandProgress> Supervisor::reports() const {
  std::vector<IslandProgress> reports;
  for (const Island& island : options_.job.plan.islands) {
    auto report = read_progress(island_folder(island.name) / "report.json");
    if (report.ok()) reports.push_back(std::move(*report));
  }
  return reports;
}

int64_t Supervisor::relayed_bytes() const {
  if (relays_.empty()) return -1;
  int64_t bytes = 0;
  for (const auto& process : relays_) {
    bytes += relay_bytes(process->options.log.parent_path());
  }
  return bytes;
}

}  // namespace skarv
