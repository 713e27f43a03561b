// One thread that runs what others post to it, in order, and a tick at a steady pace: the driver of
// a machine. Machines are called from nowhere else.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"

namespace skarv::wan {

class EventLoop {
 public:
  using Task = std::function<void()>;
  // A period of zero: no ticks.
  EventLoop(Duration period, Task tick) : period_(period), tick_(std::move(tick)) {}
  ~EventLoop() { stop(); }

  void start();
  void post(Task task);  // from any thread; after stop() it is dropped
  void stop();           // drops what is queued and joins; not from a task

 private:
  void run();
  const Duration period_;
  const Task tick_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skarv::wan
