#include "wan-emulator/control.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skarv::emulator {
namespace {

constexpr size_t kMaxLineBytes = 4096;
constexpr size_t kMaxControllers = 16;

bool watch(const FileHandle& epoll, const FileHandle& file) {
  epoll_event event{};
  event.events = EPOLLIN;
  return epoll_ctl(epoll.get(), EPOLL_CTL_ADD, file.get(), &event) == 0;
}

}  // namespace

// Others may stop it before it runs: what wakes it is there from the beginning.
Control::Control(Link& link) : link_(link), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Control::~Control() {
  if (listener_) unlink(path_.c_str());
}

Status Control::open() {
  if (epoll_) return {};
  epoll_ = FileHandle(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_ || !wake_ || !watch(epoll_, wake_)) {
    return io_error("cannot make an event", "eventfd", errno);
  }
  return {};
}

Status Control::listen(const std::filesystem::path& path) {
  SKARV_TRY(open());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return config_error("the path of a Unix socket has at most 107 letters").at(path.string());
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) unlink(path.c_str());
  FileHandle listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), static_cast<int>(kMaxControllers)) != 0 ||
      !watch(epoll_, listener)) {
    return io_error("cannot listen for commands", path.string(), errno);
  }
  listener_ = std::move(listener);
  path_ = path;
  return {};
}

void Control::accept() {
  if (!listener_) return;
  FileHandle socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || controllers_.size() >= kMaxControllers || !watch(epoll_, socket)) return;
  controllers_.push_back({std::move(socket), ""});
}

bool Control::answer(Controller& controller) {
  char part[1024];
  const ssize_t size = recv(controller.socket.get(), part, sizeof part, 0);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (size > 0) controller.line.append(part, static_cast<size_t>(size));
  for (size_t end; (end = controller.line.find('\n')) != std::string::npos;) {
    const std::string answer = link_.execute(controller.line.substr(0, end)) + "\n";
    controller.line.erase(0, end + 1);
    const ssize_t sent =
        send(controller.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    // Who asks and does not read the answers loses the connection rather than stalling the link.
    if (sent != static_cast<ssize_t>(answer.size())) return false;
  }
  return controller.line.size() <= kMaxLineBytes;
}

void Control::serve() {
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof count);
  accept();
  // Closing a socket also takes it out of the epoll set.
  controllers_.remove_if([this](Controller& controller) { return !answer(controller); });
  const std::scoped_lock lock(mutex_);
  for (Command* command : commands_) {
    command->answer = link_.execute(command->line);
    command->is_done = true;
  }
  if (!commands_.empty()) answered_.notify_all();
  commands_.clear();
}

void Control::wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void Control::stop() {
  is_stopping_ = true;
  wake();
}

std::string Control::execute(const std::string& line) {
  Command command{line, "", false};
  std::unique_lock lock(mutex_);
  commands_.push_back(&command);
  wake();
  answered_.wait(lock, [&] { return command.is_done; });
  return command.answer;
}

}  // namespace skarv::emulator
