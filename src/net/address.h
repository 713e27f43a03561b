// "host:port" as people write it.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace skarv::net {

struct Address {
  std::string host;  // "10.0.0.7", "::1", "host.example"
  uint16_t port = 0;

  std::string text() const;  // with brackets around IPv6
};

// "host:port" or "[ipv6]:port". Error: kInvalidArgument.
Result<Address> parse_address(const std::string& text);

}  // namespace skarv::net
