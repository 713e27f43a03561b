// One TCP stream as the session sees it, plain or TLS. All calls in the io thread. Includes asio:
// for .cc files of this room only.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace skarv::net {

// Written by the io thread, read by any.
struct ByteCounts {
  std::atomic<int64_t> plain_sent{0}, plain_received{0}, wire_sent{0}, wire_received{0};
};

using ReadBuffers = std::array<boost::asio::mutable_buffer, 2>;
using WriteBuffers = std::array<boost::asio::const_buffer, 3>;
// Named, because g++ 12 cannot initialise an array within a co_await.
inline ReadBuffers into(boost::asio::mutable_buffer buffer) { return {buffer}; }
inline WriteBuffers from(boost::asio::const_buffer buffer) { return {buffer}; }

class Stream {
 public:
  virtual ~Stream() = default;

  // The whole of the buffers, or an error: kUnavailable; end of file says so.
  virtual boost::asio::awaitable<Status> read(ReadBuffers buffers) = 0;
  virtual boost::asio::awaitable<Status> write(WriteBuffers buffers) = 0;
  // The peer reads an end of file after what was written; reading goes on.
  virtual void shut_down_sending() = 0;
  // At once; pending calls end with an error.
  virtual void close() = 0;

  // tls: the TLS handshake, both certificates verified. tcp: nothing.
  virtual boost::asio::awaitable<Status> secure() = 0;
  virtual std::string certificate_name() const { return {}; }  // of the peer, after secure
  virtual std::string channel_binding() const { return {}; }

  const ByteCounts& counts() const { return counts_; }

 protected:
  ByteCounts counts_;
};

// Makes streams of one kind, for one listener or one dialing; holds the TLS context.
class StreamFactory {
 public:
  virtual ~StreamFactory() = default;
  virtual bool is_secure() const = 0;
  virtual std::string own_name() const { return {}; }  // from the own certificate
  virtual std::shared_ptr<Stream> make(boost::asio::ip::tcp::socket socket, bool is_dialer) = 0;
};

}  // namespace skarv::net
