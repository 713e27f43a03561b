// How connections between sites are secured: the flags that coordinator and join share, and who
// gets which certificate when all parties run on one machine.
#pragma once

#include <filesystem>
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

// Gives one party what a host gets from whoever called `skarv cert`, and nothing of anybody else's:
// `folder` then has ca.pem, token and the pair of `name`. `authority`, the folder with ca.key, is
// made for `run` if it is not there. A pair that still lies in it moves to its owner, one that the
// owner has is kept. Errors name the file.
Status give_certificates(const std::filesystem::path& authority, const std::string& run,
                         const std::string& name, const std::filesystem::path& folder);

}  // namespace skarv
