#include "comm/mailbox.h"

namespace skarv::comm {

void Mailbox::put(int from, const Tag& tag, Letter letter) {
  std::lock_guard lock(mutex_);
  letters_.insert_or_assign({from, tag}, std::move(letter));
  changed_.notify_all();
}

void Mailbox::fail(int from, Status why) {
  std::lock_guard lock(mutex_);
  if (ended_[from].ok()) ended_[from] = std::move(why);
  changed_.notify_all();
}

void Mailbox::abort(Status why) {
  std::lock_guard lock(mutex_);
  if (aborted_.ok()) aborted_ = std::move(why);
  changed_.notify_all();
}

Result<Letter> Mailbox::take(int from, const Tag& tag, Time deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!aborted_.ok()) return aborted_;
    if (auto found = letters_.find({from, tag}); found != letters_.end()) {
      Letter letter = std::move(found->second);
      letters_.erase(found);
      return letter;
    }
    if (!ended_[from].ok()) return ended_[from];
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout &&
        letters_.count({from, tag}) == 0 && ended_[from].ok() && aborted_.ok()) {
      return Status(Code::kDeadlineExceeded, Scope::kPeer, to_string(tag) + " has not come");
    }
  }
}

Status Mailbox::status(int from) const {
  std::lock_guard lock(mutex_);
  return aborted_.ok() ? ended_[from] : aborted_;
}

}  // namespace skarv::comm
