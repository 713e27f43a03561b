// The one thread that runs all sockets of a transport. Includes asio: for .cc files of this room.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace skarv::net {

class Runtime {
 public:
  Runtime();
  // Lets connections that said goodbye end in good order, for two seconds at most.
  ~Runtime();
  boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
  std::thread thread_;
};

}  // namespace skarv::net
