#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/exit_code.h"
#include "base/file.h"
#include "base/text.h"

extern char** environ;

namespace skarv {

namespace {

std::string describe(int status) {
  if (WIFEXITED(status)) return cat("exited with code ", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return cat("killed by signal ", WTERMSIG(status));
  return cat("ended with status ", status);
}

// Everything that allocates happens before fork.
struct Prepared {
  std::vector<std::string> environment;
  std::vector<char*> arguments, variables;

  Prepared(const std::vector<std::string>& command,
           const std::map<std::string, std::string>& extra) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view name = std::string_view(*entry).substr(0, std::strcspn(*entry, "="));
      if (!extra.count(std::string(name))) environment.emplace_back(*entry);
    }
    for (const auto& [name, value] : extra) environment.push_back(name + "=" + value);
    for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
    for (std::string& entry : environment) variables.push_back(entry.data());
    arguments.push_back(nullptr);
    variables.push_back(nullptr);
  }
};

[[noreturn]] void become(const Prepared& prepared, int out, int error, bool dies_with_parent) {
  if (dies_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);  // a terminal's Ctrl-C reaches the parent, which ends its children in order
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(out, 1);
  ::dup2(error, 2);
  ::execve(prepared.arguments[0], prepared.arguments.data(), prepared.variables.data());
  const char* why = std::strerror(errno);
  (void)!::write(2, "cannot start: ", 14);
  (void)!::write(2, why, std::strlen(why));
  (void)!::write(2, "\n", 1);
  ::_exit(127);
}

}  // namespace

Result<Child> Child::start(const ChildOptions& options) {
  const std::string& program = options.command.at(0);
  if (::access(program.c_str(), X_OK) != 0) return io_error("cannot start", program, errno);
  SKARV_TRY(make_directories(options.log.parent_path()));
  FileHandle log(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return io_error("cannot open the log", options.log.string(), errno);
  const Prepared prepared(options.command, options.environment);
  const pid_t pid = ::fork();
  if (pid < 0) return io_error("cannot start a process", program, errno);
  if (pid == 0) become(prepared, log.get(), log.get(), options.dies_with_parent);
  return Child(pid);
}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_, other.exit_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0 || exit_) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool Child::running() {
  if (pid_ <= 0 || exit_) return false;
  int status;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == pid_) exit_ = status;
  return !exit_;
}

int Child::exit_code() {
  return !running() && exit_ && WIFEXITED(*exit_) ? WEXITSTATUS(*exit_) : -1;
}

std::string Child::ending() { return running() ? "" : exit_ ? describe(*exit_) : "never ran"; }

bool Child::ended_well() {
  return !running() && exit_ && WIFEXITED(*exit_) && WEXITSTATUS(*exit_) == 0;
}

void Child::signal(int number) {
  if (running()) ::kill(pid_, number);
}

bool Child::wait(Time deadline) {
  while (running()) {
    const Time now = Clock::real().now();
    if (now >= deadline) return false;
    Clock::real().sleep_until(std::min(deadline, now + std::chrono::milliseconds(5)));
  }
  return true;
}

void Child::stop(Time deadline) {
  signal(SIGTERM);
  if (wait(deadline)) return;
  signal(SIGKILL);
  wait(Time::max());
}

Result<std::string> run_and_read(const std::vector<std::string>& command, Time deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return io_error("cannot make a pipe", command.at(0), errno);
  FileHandle reading(ends[0]), writing(ends[1]);
  if (::access(command[0].c_str(), X_OK) != 0) return io_error("cannot start", command[0], errno);
  const Prepared prepared(command, {});
  const pid_t pid = ::fork();
  if (pid < 0) return io_error("cannot start a process", command[0], errno);
  if (pid == 0) become(prepared, writing.get(), 2, true);
  writing = FileHandle();

  std::string output;
  bool late = false;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::real().now());
    pollfd waited{reading.get(), POLLIN, 0};
    const int ready =
        ::poll(&waited, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    if (ready == 0) {
      late = true;
      ::kill(pid, SIGKILL);
      break;
    }
    char block[1 << 16];
    const ssize_t count = ::read(reading.get(), block, sizeof block);
    if (count > 0) output.append(block, static_cast<size_t>(count));
    if (count == 0 || (count < 0 && errno != EINTR)) break;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string name = std::filesystem::path(command[0]).filename();
  if (late) {
    return Status(Code::kDeadlineExceeded, Scope::kRun,
                  name + " did not finish in time and was ended");
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    // The child has told why on stderr; its exit code keeps its meaning.
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return status_of_exit(code, cat(name, " ", describe(status), "; its own message is above"));
  }
  return output;
}

Result<std::string> find_program(const std::string& name) {
  std::string variable = name == "skarv-worker" ? "SKARV_WORKER"
                         : name == "skarv-wan"  ? "SKARV_WAN"
                                                : "";
  if (!variable.empty()) {
    if (const char* path = std::getenv(variable.c_str())) return std::string(path);
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string tried;
  for (const auto& folder :
       {self.parent_path(), self.parent_path().parent_path() / "worker",
        self.parent_path().parent_path().parent_path() / "tools/wan-emulator"}) {
    const auto path = folder / name;
    if (::access(path.c_str(), X_OK) == 0) return path.string();
    tried += (tried.empty() ? "" : ", ") + path.string();
  }
  return Status(Code::kNotFound, Scope::kConfig, name + " is not there; looked at " + tried)
      .with_hint(name == "skarv-worker"
                     ? "build it (make build; the preset 'core' leaves it out) or set SKARV_WORKER"
                     : "build it (make build) or set " + variable);
}

std::string last_lines(const std::filesystem::path& log, size_t num_lines) {
  std::ifstream file(log, std::ios::ate);
  if (!file) return "";
  const std::streamoff size = file.tellg();
  const std::streamoff begin = std::max<std::streamoff>(0, size - 8192);
  file.seekg(begin);
  std::string text(static_cast<size_t>(size - begin), '\0');
  file.read(text.data(), size - begin);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  size_t start = text.size();
  for (size_t i = 0; i < num_lines && start != std::string::npos && start > 0; ++i) {
    start = text.rfind('\n', start - 1);
  }
  return start == std::string::npos || start == 0 ? text : text.substr(start + 1);
}

std::string last_message(const std::filesystem::path& log) {
  std::vector<std::string> lines = split(last_lines(log, 20), '\n');
  const auto begins = [](const std::string& line) {
    return line.starts_with("skarv: ") || line.starts_with("skarv-worker: ");
  };
  const auto found = std::find_if(lines.rbegin(), lines.rend(), begins);
  if (found == lines.rend()) return last_lines(log, 3);
  std::string message = found->substr(found->find(": ") + 2);
  for (auto line = found.base(); line != lines.end(); ++line) {
    constexpr std::string_view kHint = "  hint: ";
    message += line->starts_with(kHint) ? cat(" (", line->substr(kHint.size()), ")") : " " + *line;
  }
  return message;
}

}  // namespace skarv
