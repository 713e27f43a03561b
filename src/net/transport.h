// How connections come to be: mem, tcp and tls behind one interface.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/connection.h"

namespace skarv::net {

// PEM files, as net/certificate.h writes them.
struct Credentials {
  std::filesystem::path ca, certificate, key;
};

struct Options {
  std::string run;    // both ends must name the same run
  std::string token;  // both ends must know it; it never travels
  // Own name; tls: taken from the certificate, and if set it must be the same.
  std::string name;
  // Refuse a peer of any other name; empty: any name that the run's CA has signed.
  std::string expected_peer;
  // tls needs it; mem and tcp (which runs on loopback addresses only) ignore it.
  std::optional<Credentials> credentials;

  // TCP streams of the bulk lane, 1 to 16, beside the control stream. The dialer's number counts.
  int num_bulk_streams = 2;
  // Silence that counts as failure. Heartbeats go out five times as often. Also the time that a
  // dialer has for its whole handshake.
  Duration detection_time = std::chrono::seconds(5);
  // Largest body that this end accepts. Memory for it is taken when its first chunk arrives.
  size_t max_body_bytes = size_t{1} << 30;
  // Bytes of the bulk lane that this end holds for a program that does not receive; a single larger
  // message passes alone. The product of bandwidth and round trip should fit.
  size_t window_bytes = size_t{256} << 20;
};

// Owns one thread that does all input and output of its connections; it lives until the transport
// and everything made by it are gone. Thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::string_view name() const = 0;

  // `address`: "127.0.0.1:0", "[::1]:7000", "host.example:7000"; port 0 takes a free one. Errors:
  // kInvalidArgument (address, options, credentials), kResourceExhausted (port in use).
  virtual Result<std::unique_ptr<Listener>> listen(const std::string& address,
                                                   const Options& options) = 0;

  // One try, no retries. Errors: kUnavailable (nobody listens), kDeadlineExceeded,
  // kPermissionDenied (token, certificate, name), kFailedPrecondition (another run or wire
  // version), kInvalidArgument (address, options; or the listener is no Skarv).
  virtual Result<std::unique_ptr<Connection>> connect(const std::string& address,
                                                      const Options& options,
                                                      Deadline deadline) = 0;
};

// mem: within this process, any address text that ends in a port; no thread, no heartbeat.
std::shared_ptr<Transport> make_mem_transport();
// tcp: plain bytes, loopback addresses only.
std::shared_ptr<Transport> make_tcp_transport();
// tls: TLS 1.3, certificates on both sides.
std::shared_ptr<Transport> make_tls_transport();
// By name: "mem", "tcp", "tls".
Result<std::shared_ptr<Transport>> make_transport(std::string_view name);

// Two ends of one mem connection, without a listener: for tests.
std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>> make_mem_pair(
    const std::string& name_a, const std::string& name_b);

}  // namespace skarv::net
