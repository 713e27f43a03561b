#include "net/transport.h"

#include "base/text.h"

namespace skarv::net {

Result<std::shared_ptr<Transport>> make_transport(std::string_view name) {
  if (name == "mem") return make_mem_transport();
  if (name == "tcp") return make_tcp_transport();
  if (name == "tls") return make_tls_transport();
  return config_error(cat("no transport '", name, "'")).with_hint("take mem, tcp or tls");
}

}  // namespace skarv::net
