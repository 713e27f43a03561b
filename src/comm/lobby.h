// The door of a rank: one listener for its whole life, behind which dialers of the island's current
// and of later incarnations wait. A late dialer of an earlier incarnation is turned away; an early
// one of a later incarnation is kept until this rank gets there too.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "net/transport.h"

namespace skarv::comm {

// One thread, except address().
class Lobby {
 public:
  // `address`: as net::Transport::listen; `options.name` is this rank's device.
  static Result<std::unique_ptr<Lobby>> open(std::shared_ptr<net::Transport> transport,
                                             const std::string& address, net::Options options);

  const std::string& address() const { return listener_->address(); }
  const std::string& name() const { return options_.name; }

  // The connection that `rank` dials for `incarnation`. Errors: kDeadlineExceeded, kCancelled when
  // `cancelled` becomes true.
  Result<std::unique_ptr<net::Connection>> await(int rank, int64_t incarnation, Time deadline,
                                                 const std::atomic<bool>& cancelled);
  // Dials a rank that listens at `address` and waits until it takes the call.
  Result<std::unique_ptr<net::Connection>> dial(const std::string& address, int own_rank,
                                                int64_t incarnation, Time deadline,
                                                const std::atomic<bool>& cancelled);

 private:
  Lobby(std::shared_ptr<net::Transport> transport, std::unique_ptr<net::Listener> listener,
        net::Options options)
      : transport_(std::move(transport)),
        listener_(std::move(listener)),
        options_(std::move(options)) {}

  std::shared_ptr<net::Transport> transport_;
  std::unique_ptr<net::Listener> listener_;
  net::Options options_;
  std::map<std::pair<int64_t, int>, std::unique_ptr<net::Connection>>
      waiting_;  // incarnation, rank
};

}  // namespace skarv::comm
