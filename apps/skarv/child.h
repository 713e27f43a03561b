// Child processes: started with a log file, watched, ended. A child gets SIGKILL when its parent
// dies, unless it is meant to outlive it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace skarv {

struct ChildOptions {
  std::vector<std::string> command;                // [0] is the program's path
  std::filesystem::path log;                       // stdout and stderr are appended to it
  std::map<std::string, std::string> environment;  // beside the parent's
  bool dies_with_parent = true;
};

// Owns the process: its destructor kills and reaps what still runs. One thread.
class Child {
 public:
  static Result<Child> start(const ChildOptions& options);
  Child(Child&& other) noexcept : pid_(other.pid_), exit_(other.exit_) { other.pid_ = -1; }
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  bool running();
  // "exited with code 2", "killed by signal 9"; empty while it runs.
  std::string ending();
  bool ended_well();  // has exited with 0
  int exit_code();    // -1: it runs, or a signal ended it
  void signal(int number);
  // SIGTERM, then SIGKILL at the deadline; returns when it is gone.
  void stop(Time deadline);
  bool wait(Time deadline);  // true when it has ended

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_;
  std::optional<int> exit_;  // of waitpid
};

// Runs to its end and returns stdout; stderr goes to this process's. Error: kUnavailable with the
// exit code and the last words, kDeadlineExceeded (then it was killed).
Result<std::string> run_and_read(const std::vector<std::string>& command, Time deadline);

// Folder of the running program; skarv-worker and skarv-wan lie beside it or where the environment
// variables SKARV_WORKER and SKARV_WAN say.
Result<std::string> find_program(const std::string& name);

// The last `num_lines` of a log file, for a message about its writer's end.
std::string last_lines(const std::filesystem::path& log, size_t num_lines);
// The last message of a program of Skarv in its log, on one line and without the program's name: at
// best "cause (hint)". The last lines where there is none.
std::string last_message(const std::filesystem::path& log);

}  // namespace skarv
