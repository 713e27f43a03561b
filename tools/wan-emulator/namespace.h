// One end of a link for IP packets: a network namespace of its own with one TUN device, made
// without a trace outside (a child process holds it; the kernel removes it with its last user).
// Needs root or user namespaces, and /dev/net/tun.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/file.h"
#include "base/status.h"

namespace skarv::emulator {

struct NamespaceSettings {
  std::string address;                       // "10.77.0.1", in a network of 255.255.255.0
  std::string congestion;                    // of TCP; empty: the first of cubic, bbr, reno allowed
  int64_t buffer_bytes = int64_t{16} << 20;  // the most that a TCP socket buffers, each direction
};

class Namespace {
 public:
  // Error: kPermissionDenied, with the step that the kernel refused.
  static Result<Namespace> make(const NamespaceSettings& settings);
  Namespace(Namespace&& other) noexcept;
  // Kills the holder or the command with all that it started in its process group.
  ~Namespace();

  int tun() const { return tun_.get(); }  // non-blocking; one IP packet a read or write
  pid_t pid() const { return pid_; }
  const std::string& congestion() const { return congestion_; }  // as read back

  // The holder becomes `sh -c command`, standard input empty. At most once.
  Status start(const std::string& command);
  // Readable once the holder or command has ended.
  int ended() const { return process_.get(); }
  // Exit code, 128 + signal where one ended it; blocks until the end. What the command left
  // running in its process group is killed.
  int wait();

 private:
  Namespace() = default;
  pid_t pid_ = 0;
  FileHandle tun_, process_, channel_;
  std::string congestion_;
};

}  // namespace skarv::emulator
