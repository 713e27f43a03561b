// Flags that coordinator and join share: how connections between sites are secured.
#pragma once

#include <memory>
#include <string>

#include "net/transport.h"
#include "spec/run.h"

namespace CLI {
class App;
}

namespace skarv {

struct NetworkFlags {
  std::string certs;  // folder of skarv cert
  bool plain = false;
};
void add_network_flags(CLI::App& verb, NetworkFlags& flags);

// Where to listen: at `given`, or where nobody says it, everywhere; without TLS on this machine
// only.
std::string listen_address(const NetworkFlags& flags, const std::string& given, int port);

struct Network {
  std::shared_ptr<net::Transport> transport;
  net::Options options;
};
// `name` is that of the certificate to use: an island's, or "coordinator". Errors name the file.
Result<Network> open_network(const NetworkFlags& flags, const Run& run, const std::string& name);

}  // namespace skarv
