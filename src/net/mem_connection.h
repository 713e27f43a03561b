// Two ends of a connection within one process: no bytes are copied, nothing is ever lost.
#pragma once

#include <memory>
#include <utility>

#include "net/transport.h"

namespace skarv::net {

struct MemEnd {
  std::string name;
  size_t max_body_bytes = 0, window_bytes = 0;
};

std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>> make_mem_connection(
    const MemEnd& a, const MemEnd& b);

}  // namespace skarv::net
