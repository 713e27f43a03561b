// The relay: listens, dials its targets, and carries bytes between them over one shaped link. It
// needs no privileges. One thread calls run(); execute() and stop() may be called from any.
//
// What it is not: it ends TCP on both sides, so there is no loss and no congestion control (see
// stream_window), a connect succeeds at once, and a cut is invisible to TCP. Bytes that were on the
// link during a cut come out when it is healed, without TCP's own back-off.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "net/address.h"
#include "wan-emulator/control.h"
#include "wan-emulator/pipe.h"

namespace skarv::emulator {

struct Forwarding {
  net::Address listen, target;
  // The direction of the link that bytes from the dialer to the target take.
  Direction direction = Direction::kA;
};

class Relay {
 public:
  explicit Relay(const LinkSettings& settings);
  ~Relay();

  // Before run(): listens; port 0 is replaced by the port it got. Errors: kInvalidArgument (not a
  // numeric address or a name that is unknown), kResourceExhausted (port in use).
  Status add(Forwarding forwarding);
  const std::vector<Forwarding>& forwardings() const { return forwardings_; }
  // Before run(): see control.h.
  Status open_control(const std::filesystem::path& path) { return control_.listen(path); }

  Status run();                     // until stop()
  void stop() { control_.stop(); }  // also from a signal handler
  // Runs a command in the relay's thread and returns its answer. REQUIRES: run() is under way.
  std::string execute(const std::string& line) { return control_.execute(line); }

 private:
  struct Connection;
  struct Interest;

  void accept_dialer(size_t index);
  void drop_finished();
  std::vector<Interest> interests(Time now, Time& wake_at);

  Link link_;
  Control control_{link_};
  std::vector<Forwarding> forwardings_;
  std::vector<FileHandle> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;
  // Which connection reads first in a direction: the one after that which read last, or whoever
  // wakes with the link would get more than its share.
  std::array<size_t, 2> next_turn_{};
};

}  // namespace skarv::emulator
