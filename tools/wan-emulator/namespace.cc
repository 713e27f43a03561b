#include "wan-emulator/namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace skarv::emulator {
namespace {

constexpr int kMtu = 1500;
// The device must hold what arrives while the relay sleeps.
constexpr int kDeviceQueue = 10000;
constexpr int kChannel = 3;  // in the child

Status put(const std::string& path, const std::string& text) {
  FileHandle file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || write(file.get(), text.data(), text.size()) < 0) {
    return io_error(cat("cannot write '", text, "'"), path, errno);
  }
  return {};
}

Status enter_namespace() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWNET) == 0) return {};
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return io_error("cannot make a network namespace", "unshare", errno);
  }
  SKARV_TRY(put("/proc/self/setgroups", "deny"));
  SKARV_TRY(put("/proc/self/uid_map", cat("0 ", user, " 1")));
  return put("/proc/self/gid_map", cat("0 ", group, " 1"));
}

Result<FileHandle> make_device(const NamespaceSettings& settings) {
  FileHandle tun(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tun) return io_error("cannot open", "/dev/net/tun", errno);
  ifreq request{};
  std::strcpy(request.ifr_name, "wan0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun.get(), TUNSETIFF, &request) != 0) {
    return io_error("cannot make a TUN device", "wan0", errno);
  }
  FileHandle socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto configure = [&](unsigned long what) {
    return ioctl(socket.get(), what, &request) == 0;
  };
  const auto set_address = [&](unsigned long what, const char* text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) return false;
    std::memcpy(&request.ifr_addr, &address, sizeof address);
    return configure(what);
  };
  bool is_ok = set_address(SIOCSIFADDR, settings.address.c_str()) &&
               set_address(SIOCSIFNETMASK, "255.255.255.0");
  request.ifr_mtu = kMtu;
  is_ok = is_ok && configure(SIOCSIFMTU);
  request.ifr_qlen = kDeviceQueue;
  (void)configure(SIOCSIFTXQLEN);  // only root of the host may; 500 is what others have
  for (const char* name : {"wan0", "lo"}) {
    std::strcpy(request.ifr_name, name);
    is_ok = is_ok && configure(SIOCGIFFLAGS);
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    is_ok = is_ok && configure(SIOCSIFFLAGS);
  }
  if (!is_ok) return io_error("cannot configure the TUN device", settings.address, errno);
  return tun;
}

Status configure_tcp(const NamespaceSettings& settings) {
  const std::string folder = "/proc/sys/net/ipv4/tcp_";
  SKARV_TRY(put(folder + "rmem", cat("4096 131072 ", settings.buffer_bytes)));
  SKARV_TRY(put(folder + "wmem", cat("4096 65536 ", settings.buffer_bytes)));
  // Else a connection starts with what an earlier one learnt, perhaps of another link.
  SKARV_TRY(put(folder + "no_metrics_save", "1"));
  if (!settings.congestion.empty()) {
    return put(folder + "congestion_control", settings.congestion);
  }
  // Cubic is what most hosts use, but a kernel may keep it from namespaces; reno is always there.
  for (const char* name : {"cubic", "bbr"}) {
    if (put(folder + "congestion_control", name).ok()) return {};
  }
  return put(folder + "congestion_control", "reno");
}

Result<FileHandle> set_up(const NamespaceSettings& settings) {
  SKARV_TRY(enter_namespace());
  // No packets that nobody sent; absent where the kernel has no IPv6.
  (void)put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  SKARV_ASSIGN(FileHandle tun, make_device(settings));
  SKARV_TRY(configure_tcp(settings));
  return tun;
}

// One message with text, and a file if there is one.
void send_up(const std::string& text, int file) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof file)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    std::memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  (void)sendmsg(kChannel, &message, MSG_NOSIGNAL);
}

// The child: sets up, reports, waits for its command or for the end of its parent.
[[noreturn]] void hold(int channel, const NamespaceSettings& settings) {
  dup2(channel, kChannel);
  fcntl(kChannel, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, kChannel + 1, ~0U, 0U);
  setpgid(0, 0);
  {
    const Result<FileHandle> tun = set_up(settings);
    if (!tun.ok()) {
      send_up("!" + tun.status().message(), -1);
      _exit(3);
    }
    Result<std::string> congestion = read_file("/proc/sys/net/ipv4/tcp_congestion_control");
    send_up(congestion.ok() ? split(*congestion, '\n')[0] : "unknown", tun->get());
  }
  char text[65536];
  const ssize_t size = recv(kChannel, text, sizeof text - 1, 0);
  if (size <= 0) _exit(0);
  text[size] = '\0';
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  execl("/bin/sh", "sh", "-c", text, static_cast<char*>(nullptr));
  _exit(127);
}

}  // namespace

Result<Namespace> Namespace::make(const NamespaceSettings& settings) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return io_error("cannot make", "socketpair", errno);
  }
  FileHandle mine(ends[0]), theirs(ends[1]);
  Namespace made;
  made.pid_ = fork();
  if (made.pid_ == 0) hold(theirs.get(), settings);
  if (made.pid_ < 0) return io_error("cannot start a process", "fork", errno);
  theirs = FileHandle();
  made.channel_ = std::move(mine);
  made.process_ = FileHandle(static_cast<int>(syscall(SYS_pidfd_open, made.pid_, 0)));
  char text[1024];
  iovec part{text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(made.channel_.get(), &message, MSG_CMSG_CLOEXEC);
  const std::string answer(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || !made.process_) {
    return Status(Code::kPermissionDenied, Scope::kConfig,
                  answer.starts_with("!") ? answer.substr(1) : "the holder of a namespace ended")
        .at(settings.address)
        .with_hint(
            "needs root or user namespaces, and /dev/net/tun; the relay of TCP streams "
            "(skarv-wan --listen) needs neither");
  }
  int file;
  std::memcpy(&file, CMSG_DATA(header), sizeof file);
  made.tun_ = FileHandle(file);
  made.congestion_ = answer;
  return made;
}

Namespace::Namespace(Namespace&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      tun_(std::move(other.tun_)),
      process_(std::move(other.process_)),
      channel_(std::move(other.channel_)),
      congestion_(std::move(other.congestion_)) {}

Namespace::~Namespace() {
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);
  wait();
}

Status Namespace::start(const std::string& command) {
  if (send(channel_.get(), command.data(), command.size(), MSG_NOSIGNAL) < 0) {
    return io_error("cannot start the command", command, errno);
  }
  return {};
}

int Namespace::wait() {
  if (pid_ <= 0) return 0;
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  // Before the leader is reaped, so that its number cannot have become another's.
  kill(-pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace skarv::emulator
