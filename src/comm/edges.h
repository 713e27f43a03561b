// The connections of one rank to the ranks of its island that it exchanges tensors with, over
// src/net. Tensors travel as raw bytes; those of an accelerator pass through host memory.
//
// Sends are queued and leave from a thread of their own, and a thread for each peer takes in what
// comes, so a send never waits for a receive. One incarnation of the island = one Edges: after a
// failure make a new one.
//
// Owns: connections, threads. Used by one thread, the rank's; only abort may come from others.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "comm/lobby.h"
#include "comm/mailbox.h"
#include "comm/tag.h"
#include "device/device.h"
#include "net/connection.h"

namespace at {
class Tensor;
}

namespace skarv::comm {

// The ranks of an island in one incarnation, as one of them sees it.
struct Roster {
  int rank = 0;
  int64_t incarnation = 0;
  std::vector<std::string> names, addresses;  // by rank
};

class Edges {
 public:
  // Connects to `peers` (ranks; they must list this rank too). The lower rank of a pair is dialed.
  // Errors: kDeadlineExceeded or kUnavailable naming the peer; kCancelled.
  static Result<std::unique_ptr<Edges>> connect(Lobby& lobby, const Roster& roster,
                                                const std::vector<int>& peers, const Device& device,
                                                Time deadline, const std::atomic<bool>& cancelled);
  ~Edges();  // aborts; what was sent and not taken may be lost

  int rank() const { return roster_.rank; }
  int num_ranks() const { return static_cast<int>(roster_.names.size()); }
  const std::string& name_of(int rank) const { return roster_.names[rank]; }

  // Queues the tensor; it must not change before flush() has returned. Errors: the connection's.
  Status send(int to, const Tag& tag, const at::Tensor& tensor);
  Status send_bytes(int to, const Tag& tag, std::string bytes);
  // Waits until everything queued was handed to the network.
  Status flush(Time deadline);

  // Fills `into` and returns when the bytes had arrived. `patience` is the longest wait. Error:
  // "north/a/1 has not sent the activation of microbatch 5 for stage 2 (786 kB) for 5.0 s"; scope
  // peer wherever a peer is to blame.
  Result<Time> receive(int from, const Tag& tag, const at::Tensor& into, Duration patience);
  Result<std::string> receive_bytes(int from, const Tag& tag, size_t num_bytes, Duration patience);

  // Every call in progress and every later one fails with `why`. From any thread.
  void abort(const Status& why);
  // Delivers what is queued, then closes the connections. The orderly end.
  Status close(Time deadline);

  int64_t num_bytes_sent() const { return num_bytes_sent_; }

 private:
  struct Outgoing;
  Edges(const Roster& roster, const Device& device);
  Result<Letter> take(int from, const Tag& tag, size_t num_bytes, Duration patience);
  Status enqueue(Outgoing outgoing);
  void read_from(int rank);
  void write();
  Status write_one(const Outgoing& outgoing);

  const Roster roster_;
  const Device device_;
  Mailbox mailbox_;
  std::vector<std::unique_ptr<net::Connection>> connections_;  // by rank; null: no edge
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> num_bytes_sent_{0};

  std::mutex mutex_;  // of the queue
  std::condition_variable changed_;
  std::deque<Outgoing> queue_;
  bool writing_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace skarv::comm
