#include "train/order_queue.h"

#include "base/text.h"

namespace skarv::train {

void OrderQueue::put(handoff::Message order) {
  std::lock_guard lock(mutex_);
  // After a Stop nothing else matters.
  if (!orders_.empty() && std::holds_alternative<handoff::Stop>(orders_.back())) return;
  if (std::holds_alternative<handoff::Connect>(order) ||
      std::holds_alternative<handoff::Stop>(order)) {
    orders_.clear();
    cancelled_ = true;
  }
  orders_.push_back(std::move(order));
  changed_.notify_all();
}

Result<handoff::Message> OrderQueue::take(Time deadline) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_until(lock, deadline, [this] { return !orders_.empty(); })) {
    return Status(Code::kDeadlineExceeded, Scope::kRun, "the agent gave no order");
  }
  handoff::Message order = std::move(orders_.front());
  orders_.pop_front();
  if (std::holds_alternative<handoff::Connect>(order)) cancelled_ = false;
  return order;
}

Result<handoff::ApplyOrder> OrderQueue::take_apply(int64_t round, Time deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (cancelled_) return Status(Code::kCancelled, Scope::kPeer, "the step was given up");
    for (auto order = orders_.begin(); order != orders_.end(); ++order) {
      const auto* apply = std::get_if<handoff::Apply>(&*order);
      if (apply == nullptr || apply->order.round != round) continue;
      const handoff::ApplyOrder found = apply->order;
      orders_.erase(order);
      return found;
    }
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
      return Status(Code::kDeadlineExceeded, Scope::kRun,
                    cat("the merged weights of round ", round, " did not come"))
          .with_hint("look at the coordinator and at the other islands");
    }
  }
}

}  // namespace skarv::train
