#include "net/address.h"

#include <charconv>

#include "base/text.h"

namespace skarv::net {

std::string Address::text() const {
  return host.find(':') == std::string::npos ? cat(host, ":", port) : cat("[", host, "]:", port);
}

Result<Address> parse_address(const std::string& text) {
  const Status wrong = config_error(cat("'", text, "' is not an address"))
                           .with_hint("write host:port, for example 127.0.0.1:7000 or [::1]:7000");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong;
  Address address{text.substr(0, colon), 0};
  if (address.host.size() >= 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return wrong;  // an IPv6 address without brackets: the port would be a guess
  }
  if (address.host.empty() || address.host.size() > 253) return wrong;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || stop != end) return wrong;
  return address;
}

}  // namespace skarv::net
