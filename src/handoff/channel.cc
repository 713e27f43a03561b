#include "handoff/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace skarv::handoff {

namespace {

constexpr uint32_t kMaxFrameBytes = 64 << 20;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return config_error(cat("a socket's path has at most ", sizeof address.sun_path - 1,
                            " bytes, this one has ", path.native().size()))
        .at(path.string())
        .with_hint("choose a run folder with a shorter path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return address;
}

Status gone() {
  return Status(Code::kUnavailable, Scope::kPeer, "the other side closed the hand-off socket");
}

// Waits for `events`; kDeadlineExceeded when nothing came.
Status wait_for(int fd, short events, Time deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::real().now());
    pollfd waited{fd, events, 0};
    const int timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
    const int ready = ::poll(&waited, 1, timeout);
    if (ready > 0) return Status();
    if (ready < 0 && errno != EINTR) return io_error("poll failed", "hand-off socket", errno);
    if (ready == 0) {
      return Status(Code::kDeadlineExceeded, Scope::kPeer, "nothing came over the hand-off socket");
    }
  }
}

}  // namespace

Channel::Channel(FileHandle socket)
    : socket_(std::move(socket)), sending_(std::make_unique<std::mutex>()) {}

Result<Channel> Channel::connect(const std::filesystem::path& path, Time deadline) {
  SKARV_ASSIGN(sockaddr_un address, address_of(path));
  while (true) {
    FileHandle socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return io_error("cannot make a socket", path.string(), errno);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      return Channel(std::move(socket));
    }
    // The agent may be about to listen (again): try until the deadline.
    const bool may_come = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
    const int error = errno;
    const Time next = Clock::real().now() + std::chrono::milliseconds(20);
    if (!may_come || next > deadline)
      return io_error("cannot reach the agent", path.string(), error);
    Clock::real().sleep_until(next);
  }
}

Status Channel::send(const Message& message, Time deadline, int file) {
  const std::string text = to_json(message).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxFrameBytes) return bug(cat("a message of ", text.size(), " bytes"));
  const uint32_t length = static_cast<uint32_t>(text.size());
  std::string frame(reinterpret_cast<const char*>(&length), sizeof length);
  frame += text;

  const std::lock_guard lock(*sending_);
  size_t sent = 0;
  while (sent < frame.size()) {
    iovec part{frame.data() + sent, frame.size() - sent};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    if (sent == 0 && file >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      cmsghdr* rider = CMSG_FIRSTHDR(&header);
      rider->cmsg_level = SOL_SOCKET;
      rider->cmsg_type = SCM_RIGHTS;
      rider->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rider), &file, sizeof file);
    }
    const ssize_t count = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      SKARV_TRY(wait_for(socket_.get(), POLLOUT, deadline));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return gone();
    } else if (errno != EINTR) {
      return io_error("cannot send", "hand-off socket", errno);
    }
  }
  return Status();
}

bool Channel::buffered() const {
  uint32_t length;
  if (buffer_.size() < sizeof length) return false;
  std::memcpy(&length, buffer_.data(), sizeof length);
  return buffer_.size() >= sizeof length + length;
}

Status Channel::fill(Time deadline) {
  char block[1 << 16];
  iovec part{block, sizeof block};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  if (count == 0) return gone();
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_for(socket_.get(), POLLIN, deadline);
    if (errno == EINTR) return Status();
    if (errno == ECONNRESET) return gone();
    return io_error("cannot receive", "hand-off socket", errno);
  }
  for (cmsghdr* rider = CMSG_FIRSTHDR(&header); rider; rider = CMSG_NXTHDR(&header, rider)) {
    if (rider->cmsg_level == SOL_SOCKET && rider->cmsg_type == SCM_RIGHTS) {
      int file;
      std::memcpy(&file, CMSG_DATA(rider), sizeof file);
      file_ = FileHandle(file);
    }
  }
  buffer_.append(block, static_cast<size_t>(count));
  return Status();
}

Result<Received> Channel::receive(Time deadline) {
  while (!buffered()) {
    uint32_t length;
    if (buffer_.size() >= sizeof length) {
      std::memcpy(&length, buffer_.data(), sizeof length);
      if (length > kMaxFrameBytes) {
        return Status(
            Code::kDataLoss, Scope::kPeer,
            cat("a hand-off frame claims ", length, " bytes, the bound is ", kMaxFrameBytes));
      }
    }
    SKARV_TRY(fill(deadline));
  }
  uint32_t length;
  std::memcpy(&length, buffer_.data(), sizeof length);
  auto json = parse_json(std::string_view(buffer_).substr(sizeof length, length), "hand-off frame");
  buffer_.erase(0, sizeof length + length);
  if (!json.ok()) return json.status();
  SKARV_ASSIGN(Message message, message_from_json(*json));
  return Received{std::move(message), std::move(file_)};
}

Result<ChannelListener> ChannelListener::listen(const std::filesystem::path& path) {
  SKARV_ASSIGN(sockaddr_un address, address_of(path));
  FileHandle socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return io_error("cannot make a socket", path.string(), errno);
  ::unlink(path.c_str());  // of an agent that died
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(socket.get(), 64) != 0) {
    return io_error("cannot listen for workers", path.string(), errno);
  }
  return ChannelListener(std::move(socket));
}

Result<Channel> ChannelListener::accept(Time deadline) {
  while (true) {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) return Channel(FileHandle(fd));
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      SKARV_TRY(wait_for(socket_.get(), POLLIN, deadline));
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return io_error("cannot accept a worker", "hand-off socket", errno);
    }
  }
}

}  // namespace skarv::handoff
