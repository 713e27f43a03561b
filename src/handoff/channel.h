// A stream of messages over a Unix socket between an agent and one worker; file descriptors ride
// along. A frame is a 32-bit length (at most 64 MiB) and JSON.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "handoff/messages.h"

namespace skarv::handoff {

struct Received {
  Message message;
  FileHandle file;  // the descriptor that came with it, if any
};

// Send and receive may be used by two threads at once; each by one at a time (send locks).
class Channel {
 public:
  static Result<Channel> connect(const std::filesystem::path& socket, Time deadline);
  explicit Channel(FileHandle socket);
  Channel(Channel&&) noexcept = default;
  Channel& operator=(Channel&&) noexcept = default;

  // Errors: kDeadlineExceeded, kUnavailable (the other side is gone).
  Status send(const Message& message, Time deadline, int file = -1);
  Result<Received> receive(Time deadline);
  int fd() const { return socket_.get(); }  // for poll; readable also when buffered() is true
  bool buffered() const;                    // a whole frame has been read already

 private:
  Status fill(Time deadline);

  FileHandle socket_;
  std::unique_ptr<std::mutex> sending_;
  std::string buffer_;
  FileHandle file_;
};

// Listens on a socket of the run's folder; only the same user may connect.
class ChannelListener {
 public:
  static Result<ChannelListener> listen(const std::filesystem::path& socket);
  Result<Channel> accept(Time deadline);
  int fd() const { return socket_.get(); }

 private:
  ChannelListener(FileHandle socket) : socket_(std::move(socket)) {}
  FileHandle socket_;
};

}  // namespace skarv::handoff
