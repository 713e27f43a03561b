// Where the messages of all peers wait until the rank asks for them by sender and tag. Readers put,
// one thread takes; thread-safe. What it holds is bounded by the schedule: a peer sends nothing
// that this rank has not in its own action list.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "comm/tag.h"
#include "net/buffer.h"

namespace skarv::comm {

struct Letter {
  net::Buffer body;
  Time arrived;  // when the last byte was there
};

class Mailbox {
 public:
  explicit Mailbox(int num_ranks) : ended_(num_ranks) {}

  void put(int from, const Tag& tag, Letter letter);
  // No more messages will come from `from`. What came before can still be taken.
  void fail(int from, Status why);
  // Wakes and refuses every taker from now on.
  void abort(Status why);

  // Waits for the letter. Errors: kDeadlineExceeded (not there in time), what fail or abort said.
  Result<Letter> take(int from, const Tag& tag, Time deadline);
  // Ok unless fail or abort was called.
  Status status(int from) const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int, Tag>, Letter> letters_;
  std::vector<Status> ended_;
  Status aborted_;
};

}  // namespace skarv::comm
