// tcp and tls: the same machinery over different streams.
#include "net/socket_dialer.h"
#include "net/socket_listener.h"
#include "net/tcp_stream.h"
#include "net/tls_stream.h"
#include "net/transport.h"

namespace skarv::net {
namespace {

using MakeFactory = Result<std::shared_ptr<StreamFactory>> (*)(const Options&);

class SocketTransport : public Transport {
 public:
  SocketTransport(std::string_view name, MakeFactory make_factory)
      : name_(name), make_factory_(make_factory) {}
  std::string_view name() const override { return name_; }

  Result<std::unique_ptr<Listener>> listen(const std::string& address,
                                           const Options& options) override {
    SKARV_ASSIGN(auto factory, make_factory_(options));
    return listen_on(runtime_, std::move(factory), address, options);
  }
  Result<std::unique_ptr<Connection>> connect(const std::string& address, const Options& options,
                                              Deadline deadline) override {
    SKARV_ASSIGN(auto factory, make_factory_(options));
    return dial(runtime_, std::move(factory), address, options, deadline);
  }

 private:
  const std::string_view name_;
  const MakeFactory make_factory_;
  const std::shared_ptr<Runtime> runtime_ = std::make_shared<Runtime>();
};

}  // namespace

std::shared_ptr<Transport> make_tcp_transport() {
  return std::make_shared<SocketTransport>("tcp", make_tcp_stream_factory);
}
std::shared_ptr<Transport> make_tls_transport() {
  return std::make_shared<SocketTransport>("tls", make_tls_stream_factory);
}

}  // namespace skarv::net
