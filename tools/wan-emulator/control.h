// How a running relay is told things: a Unix socket with one command a line, and execute() and
// stop() from other threads. The relay's thread waits for fd() to be readable, then calls serve().
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <list>
#include <mutex>
#include <string>

#include "base/file.h"
#include "base/status.h"
#include "wan-emulator/link.h"

namespace skarv::emulator {

class Control {
 public:
  explicit Control(Link& link);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  Status open();  // once, before all else
  // An old socket at `path` is replaced; any other file is an error.
  Status listen(const std::filesystem::path& path);

  int fd() const { return epoll_.get(); }
  void serve();  // never blocks
  bool is_stopping() const { return is_stopping_; }

  void stop();  // any thread, also a signal handler
  // Runs a command in the relay's thread; its answer. REQUIRES: the relay runs.
  std::string execute(const std::string& line);

 private:
  struct Controller {
    FileHandle socket;
    std::string line;
  };
  struct Command {
    const std::string& line;
    std::string answer;
    bool is_done = false;
  };

  void wake();
  void accept();
  bool answer(Controller& controller);  // false: hang up

  Link& link_;
  FileHandle epoll_, wake_, listener_;
  std::filesystem::path path_;
  std::list<Controller> controllers_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<Command*> commands_;
  std::atomic<bool> is_stopping_{false};
};

}  // namespace skarv::emulator
