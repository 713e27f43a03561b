#include "net/runtime.h"

#include <boost/asio/io_context.hpp>

namespace skarv::net {

Runtime::Runtime() : work_(boost::asio::make_work_guard(io_)) {
  thread_ = std::thread([this] {
    io_.run();
    const std::scoped_lock lock(mutex_);
    is_done_ = true;
    done_.notify_all();
  });
}

Runtime::~Runtime() {
  work_.reset();
  {
    std::unique_lock lock(mutex_);
    done_.wait_for(lock, std::chrono::seconds(2), [&] { return is_done_; });
  }
  io_.stop();
  thread_.join();
}

}  // namespace skarv::net
