#include "net/tcp_stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace skarv::net {
namespace asio = boost::asio;
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

// Like asio::transfer_all, which moves at most 64 KiB a system call.
size_t whole_chunks(const boost::system::error_code& error, size_t /*num_bytes*/) {
  return error ? 0 : size_t{1} << 20;
}

class TcpStream : public Stream {
 public:
  explicit TcpStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  asio::awaitable<Status> secure() override { co_return Status(); }

  asio::awaitable<Status> read(ReadBuffers buffers) override {
    const auto [error, num_bytes] =
        co_await asio::async_read(socket_, buffers, whole_chunks, kNoThrow);
    counts_.plain_received += num_bytes;
    counts_.wire_received += num_bytes;
    co_return stream_status(error);
  }

  asio::awaitable<Status> write(WriteBuffers buffers) override {
    const auto [error, num_bytes] =
        co_await asio::async_write(socket_, buffers, whole_chunks, kNoThrow);
    counts_.plain_sent += num_bytes;
    counts_.wire_sent += num_bytes;
    co_return stream_status(error);
  }

  void shut_down_sending() override {
    boost::system::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  asio::ip::tcp::socket socket_;
};

class TcpStreamFactory : public StreamFactory {
 public:
  bool is_secure() const override { return false; }
  std::shared_ptr<Stream> make(asio::ip::tcp::socket socket, bool /*is_dialer*/) override {
    return std::make_shared<TcpStream>(std::move(socket));
  }
};

}  // namespace

Status stream_status(const boost::system::error_code& error) {
  if (!error) return {};
  if (error == asio::error::eof) {
    return Status(Code::kUnavailable, Scope::kPeer, "the other end closed the stream");
  }
  return Status(Code::kUnavailable, Scope::kLink, error.message());
}

Result<std::shared_ptr<StreamFactory>> make_tcp_stream_factory(const Options& /*options*/) {
  return std::shared_ptr<StreamFactory>(std::make_shared<TcpStreamFactory>());
}

}  // namespace skarv::net
