#include "wan/event_loop.h"

namespace skarv::wan {

void EventLoop::start() {
  thread_ = std::thread([this] { run(); });
}

void EventLoop::post(Task task) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

void EventLoop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    tasks_.clear();
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void EventLoop::run() {
  Time next_tick = Clock::real().now() + period_;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (period_ > Duration::zero() && Clock::real().now() >= next_tick) {
      next_tick = Clock::real().now() + period_;
      lock.unlock();
      tick_();
      lock.lock();
      continue;
    }
    if (tasks_.empty()) {
      if (period_ > Duration::zero()) {
        changed_.wait_until(lock, next_tick);
      } else {
        changed_.wait(lock);
      }
      continue;
    }
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace skarv::wan
