#include "system/system_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "data/prepare.h"
#include "spec/run.h"

namespace skarv::testing {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(10);
constexpr auto kTokensLimit = std::chrono::seconds(60);

std::string text_of(const std::filesystem::path& path) {
  auto text = read_file(path);
  return text.ok() ? std::move(*text) : "";
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

pid_t spawn(const std::vector<std::string>& command, const std::filesystem::path& log) {
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(file, 1);
  ::dup2(file, 2);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

std::optional<int> reap(pid_t pid, int flags) {
  int status = 0;
  if (::waitpid(pid, &status, flags) != pid) return std::nullopt;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string run_file(const RunShape& shape) {
  return cat("[run]\nname = \"system\"\nseed = ", shape.seed, "\nsteps = ", shape.steps,
             "\nglobal_batch = ", kGlobalBatch,
             "\ncheckpoint_every_rounds = ", shape.checkpoint_every_rounds,
             "\n[model]\nhidden = 32\nblocks = 2\nheads = 2\nkv_heads = 2\nffn = 64\n"
             "context = 32\ntied_head = true\n[data]\nfolder = \"",
             shared_tokens().string(),
             "\"\nvalidation_samples = 256\n[optimizer]\nlearning_rate = 3e-3\nwarmup_steps = 40\n"
             "[exchange]\ninner_steps = ",
             shape.inner_steps, "\noverlap_steps = ", shape.overlap_steps,
             "\nlearning_rate = 0.7\nmomentum = 0.6\ndetection = \"", shape.detection_seconds,
             " s\"\nround_budget = \"", shape.round_budget_seconds, " s\"\n", shape.exchange, "\n");
}

std::string cluster_file(const RunShape& shape) {
  auto site = [](const char* name, const char* host, const std::string& second) {
    return cat("[[site]]\nname = \"", name, "\"\n[[site.host]]\nname = \"", host,
               "\"\nmemory = \"2 GB\"\ndevices = [{chip = \"cpu\", pace = 1.0, memory = \"1 GB\"}, "
               "{chip = ",
               second, ", pace = 1.0, memory = \"1 GB\"}]\n");
  };
  return site("north", "a", "\"cpu\"") +
         site("south", "b", cat("\"toy\", plugin = \"", SKARV_TOY_PLUGIN, "\"")) +
         cat("[[link]]\nfrom = \"north\"\nto = \"south\"\nbandwidth = \"", shape.bandwidth,
             "\"\nround_trip = \"", shape.round_trip, "\"\n");
}

// Times by hand: pacing turns them into steps of about `step_seconds`, whatever the machine does.
Json profile_file(const RunShape& shape) {
  Json layers = Json::array(), devices = Json::array();
  for (const char* chip : {"cpu", "toy"}) {
    for (const char* kind : {"embedding", "block", "head"}) {
      for (int microbatch : {1, 2, 4, 8}) {
        // A device of north takes its samples through 2 blocks, in three parts.
        const double part = std::string(kind) == "block"
                                ? shape.step_seconds / (kGlobalBatch / 4 * 2 * 3) * microbatch
                                : 1e-5;
        layers.push_back({{"chip", chip},
                          {"kind", kind},
                          {"microbatch", microbatch},
                          {"tensor_parallel", 1},
                          {"forward", part},
                          {"backward_input", part},
                          {"backward_weight", part},
                          {"update", 1e-5},
                          {"activation_bytes", 1e5 * microbatch}});
      }
    }
  }
  for (const char* device : {"north/a/0", "north/a/1", "south/b/0", "south/b/1"}) {
    devices.push_back({{"device", device},
                       {"chip", std::string(device) == "south/b/1" ? "toy" : "cpu"},
                       {"usable_bytes", 1e9},
                       {"base_bytes", 1e8},
                       {"pace", 1.0}});
  }
  return {{"estimated", false}, {"layers", layers}, {"devices", devices}};
}

Json plan_file(const std::filesystem::path& run_file) {
  Run run = *read_run(run_file);
  run.model.vocabulary = load_data(run.data.folder)->vocabulary_size;
  auto stage = [](int begin, int end, const char* device) {
    return Json{{"layers", {begin, end}},
                {"devices", {device}},
                {"tensor_parallel", 1},
                {"recompute", "none"}};
  };
  auto pipeline = [](int samples, Json stages) {
    return Json{{"microbatch", 4}, {"samples", samples}, {"schedule", "1f1b"}, {"stages", stages}};
  };
  const Json north = {
      {"name", "north"},
      {"pipelines",
       Json::array({pipeline(kGlobalBatch / 4, Json::array({stage(0, 4, "north/a/0")})),
                    pipeline(kGlobalBatch / 4, Json::array({stage(0, 4, "north/a/1")}))})}};
  const Json south = {
      {"name", "south"},
      {"pipelines",
       Json::array({pipeline(kGlobalBatch / 2,
                             Json::array({stage(0, 2, "south/b/0"), stage(2, 4, "south/b/1")}))})}};
  return {{"version", 1},
          {"model", digest_of(run.model).hex()},
          {"islands", Json::array({north, south})}};
}

struct Tokens {
  std::filesystem::path folder = fresh_folder("tokens");
  Tokens() {
    const auto code = run_program(
        {SKARV_PROGRAM, "data", SKARV_SOURCE_DIR "/src", "--extension", ".cc", "--extension", ".h",
         "--vocabulary", "400", "--out", (folder / "data").string(), "--quiet"},
        folder / "log", kTokensLimit);
    if (code != 0) ADD_FAILURE() << "skarv data: " << text_of(folder / "log");
  }
  ~Tokens() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
};

}  // namespace

std::filesystem::path fresh_folder(const std::string& name) {
  const auto path =
      std::filesystem::temp_directory_path() / cat("skarv-system-", name, "-", ::getpid());
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

const std::filesystem::path& shared_tokens() {
  static const Tokens tokens;
  static const std::filesystem::path data = tokens.folder / "data";
  return data;
}

std::optional<int> run_program(const std::vector<std::string>& command,
                               const std::filesystem::path& log, Duration limit) {
  const pid_t pid = spawn(command, log);
  const Time deadline = Clock::real().now() + limit;
  while (Clock::real().now() < deadline) {
    if (auto code = reap(pid, WNOHANG)) return code;
    Clock::real().sleep_until(Clock::real().now() + kPoll);
  }
  ::kill(pid, SIGKILL);
  reap(pid, 0);
  return std::nullopt;
}

bool lives(pid_t pid) {
  std::ifstream file(cat("/proc/", pid, "/stat"));
  std::string text;
  std::getline(file, text);
  const size_t end = text.rfind(')');  // the name may hold anything
  return end != std::string::npos && end + 2 < text.size() && text[end + 2] != 'Z';
}

std::vector<Json> events_of(const std::filesystem::path& folder, const std::string& what) {
  std::vector<Json> found;
  std::ifstream file(folder / "events.jsonl");
  for (std::string line; std::getline(file, line);) {
    // A file that is written to may end in half a line.
    Json event = Json::parse(line, nullptr, false);
    if (event.is_object() && event.value("what", "") == what) found.push_back(std::move(event));
  }
  return found;
}

SystemRun::SystemRun(const RunShape& shape, const std::string& name) : folder_(fresh_folder(name)) {
  write(folder_ / "run.toml", run_file(shape));
  write(folder_ / "cluster.toml", cluster_file(shape));
  write(folder_ / "profile.json", profile_file(shape).dump(1));
  write(folder_ / "plan.json", plan_file(folder_ / "run.toml").dump(1));
  command_ = {SKARV_PROGRAM,
              "train",
              (folder_ / "run.toml").string(),
              "--cluster",
              (folder_ / "cluster.toml").string(),
              "--profile",
              (folder_ / "profile.json").string(),
              "--plan",
              (folder_ / "plan.json").string(),
              "--out",
              out().string(),
              "--emulate-wan",
              "--quiet",
              "--json"};
  if (shape.plain) command_.push_back("--plain");
}

SystemRun::~SystemRun() {
  std::vector<pid_t> orphans;
  for (const char* island : {"north", "south"}) {
    for (pid_t pid : workers(island)) orphans.push_back(pid);
  }
  if (pid_ > 0 && !exit_) {
    ::kill(pid_, SIGKILL);  // its children die with it, but for workers
    reap(pid_, 0);
  }
  for (pid_t pid : orphans) {
    const auto name = read_file(cat("/proc/", pid, "/comm"));
    if (name.ok() && name->starts_with("skarv-worker")) ::kill(pid, SIGKILL);
  }
  if (std::getenv("SKARV_KEEP_RUNS") != nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SystemRun::start(const std::vector<std::string>& more) {
  std::vector<std::string> command = command_;
  command.insert(command.end(), more.begin(), more.end());
  exit_.reset();
  pid_ = spawn(command, folder_ / "train.log");
}

bool SystemRun::running() {
  if (pid_ > 0 && !exit_) exit_ = reap(pid_, WNOHANG);
  return pid_ > 0 && !exit_;
}

void SystemRun::signal(int number) {
  if (running()) ::kill(pid_, number);
}

std::optional<int> SystemRun::wait(Duration limit) {
  const Time deadline = Clock::real().now() + limit;
  while (running() && Clock::real().now() < deadline) {
    Clock::real().sleep_until(Clock::real().now() + kPoll);
  }
  return exit_;
}

bool SystemRun::wait_for(const std::function<bool()>& done, Duration limit) {
  const Time deadline = Clock::real().now() + limit;
  while (true) {
    if (done()) return true;
    if (!running() || Clock::real().now() >= deadline) return done();
    Clock::real().sleep_until(Clock::real().now() + kPoll);
  }
}

Json SystemRun::read(const std::string& file) const {
  auto json = read_json(out() / file);
  return json.ok() ? std::move(*json) : Json();
}

std::vector<Json> SystemRun::events(const std::string& who, const std::string& what) const {
  return events_of(out() / who, what);
}

int64_t SystemRun::steps_done(const std::string& island) const {
  // From the end: a block holds many lines.
  std::ifstream file(out() / island / "events.jsonl", std::ios::binary | std::ios::ate);
  if (!file) return 0;
  const std::streamoff size = file.tellg();
  const std::streamoff from = std::max<std::streamoff>(0, size - 16384);
  std::string block(static_cast<size_t>(size - from), '\0');
  file.seekg(from);
  file.read(block.data(), static_cast<std::streamsize>(block.size()));
  const size_t found = block.rfind("\"what\":\"step\",\"steps\":");
  return found == std::string::npos ? 0 : std::atoll(block.c_str() + found + 22);
}

std::vector<LedgerRound> SystemRun::ledger() const {
  // The coordinator holds its file alone; of a copy, SQLite reads every whole transaction.
  const auto copy = folder_ / "ledger";
  std::error_code ignored;
  std::filesystem::remove_all(copy, ignored);
  std::filesystem::create_directories(copy, ignored);
  for (const char* name : {"ledger.sqlite", "ledger.sqlite-wal"}) {
    std::filesystem::copy_file(out() / "coordinator" / name, copy / name, ignored);
  }
  std::vector<LedgerRound> rounds;
  sqlite3* database = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_open((copy / "ledger.sqlite").c_str(), &database) == SQLITE_OK &&
      sqlite3_prepare_v2(database, "select n, record, chain from rounds order by n", -1, &statement,
                         nullptr) == SQLITE_OK) {
    while (sqlite3_step(statement) == SQLITE_ROW) {
      auto text = [&](int column) {
        return std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement, column)));
      };
      rounds.push_back(
          {sqlite3_column_int64(statement, 0), Json::parse(text(1), nullptr, false), text(2)});
    }
  }
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return rounds;
}

pid_t SystemRun::process(const std::string& name) const {
  const Json pids = read("processes.json");
  return pids.is_object() ? pids.value(name, pid_t{-1}) : -1;
}

std::vector<pid_t> SystemRun::workers(const std::string& island) const {
  std::vector<pid_t> pids;
  const Json registry = read(island + "/workers/workers.json");
  if (!registry.is_object()) return pids;
  for (const Json& pid : registry.value("pids", Json::array())) {
    if (pid.is_number_integer() && pid.get<pid_t>() > 0) pids.push_back(pid.get<pid_t>());
  }
  return pids;
}

std::string SystemRun::relay(const std::string& command) const {
  auto path = out() / "wan" / "north-south" / "control.sock";
  if (path.native().size() >= 100) {
    path = std::filesystem::temp_directory_path() /
           ("skarv-wan-" + digest_of(path.native()).short_hex() + ".sock");
  }
  FileHandle socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const std::string line = command + "\n";
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(line.size())) {
    return cat("no relay at ", path.string(), ": ", std::strerror(errno));
  }
  std::string answer;
  pollfd waited{socket.get(), POLLIN, 0};
  char block[4096];
  while (answer.find('\n') == std::string::npos && ::poll(&waited, 1, 2000) > 0) {
    const ssize_t count = ::read(socket.get(), block, sizeof block);
    if (count <= 0) break;
    answer.append(block, static_cast<size_t>(count));
  }
  return answer;
}

std::string SystemRun::last_words() const {
  std::string text;
  for (const char* log : {"train.log", "out/coordinator/coordinator.log", "out/north/agent.log",
                          "out/south/agent.log"}) {
    const std::string words = text_of(folder_ / log);
    text +=
        cat("\n-- ", log, ":\n", words.substr(words.size() - std::min<size_t>(words.size(), 1500)));
  }
  return text + cat("\nsteps: north ", steps_done("north"), ", south ", steps_done("south"),
                    "\ncoordinator: ", coordinator_status().dump());
}

::testing::AssertionResult each_sample_counted_once(const std::vector<LedgerRound>& ledger,
                                                    const Json& coordinator_status) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  int64_t num_counted = 0;
  for (const LedgerRound& round : ledger) {
    for (const Json& delivered : round.record.at("delivered")) {
      const Json& contribution = delivered.at("contribution");
      int64_t num_samples = 0;
      for (const Json& range : contribution.at("samples")) {
        ranges.emplace_back(range.at(0).get<uint64_t>(), range.at(1).get<uint64_t>());
        num_samples += static_cast<int64_t>(ranges.back().second - ranges.back().first);
      }
      const auto steps = contribution.at("steps").get<int64_t>();
      if (num_samples != steps * kGlobalBatch / 2) {
        return ::testing::AssertionFailure()
               << "round " << round.round << " counts " << num_samples << " samples for " << steps
               << " steps of " << contribution.at("island");
      }
      num_counted += num_samples;
    }
  }
  if (ranges.empty()) return ::testing::AssertionFailure() << "the ledger names no samples";
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second) {
      return ::testing::AssertionFailure()
             << "samples counted twice: " << ranges[i - 1].first << ".." << ranges[i - 1].second
             << " and " << ranges[i].first << ".." << ranges[i].second;
    }
  }
  if (!coordinator_status.is_object() || coordinator_status.at("samples_used") != num_counted) {
    return ::testing::AssertionFailure() << ledger.size() << " records count " << num_counted
                                         << " samples, the coordinator says " << coordinator_status;
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult nothing_lost(const std::vector<LedgerRound>& before,
                                        const std::vector<LedgerRound>& after) {
  for (size_t i = 0; i < after.size(); ++i) {
    if (after[i].round != static_cast<int64_t>(i) + 1) {
      return ::testing::AssertionFailure() << "round " << i + 1 << " is missing";
    }
    if (i > 0 && after[i].record.at("previous_chain") != after[i - 1].chain) {
      return ::testing::AssertionFailure() << "the chain breaks at round " << i + 1;
    }
  }
  if (before.size() > after.size()) {
    return ::testing::AssertionFailure()
           << before.size() << " rounds were committed, " << after.size() << " are left";
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (!(before[i] == after[i])) {
      return ::testing::AssertionFailure() << "the record of round " << i + 1 << " has changed";
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace skarv::testing
