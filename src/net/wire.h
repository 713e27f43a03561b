// Little-endian numbers and length-prefixed text in a byte string: how frames and handshake packets
// are written and, with bounds checked, read.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace skarv::net {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

template <std::integral T>
void put_number(std::string& out, T value) {
  append_bytes(out, value);
}

inline void put_text(std::string& out, std::string_view text) {
  put_number(out, static_cast<uint16_t>(text.size()));
  out.append(text);
}

// Reads in order; after the first read past the end everything is zero or empty and ok() is false.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  template <std::integral T>
  T number() {
    T value{};
    const std::string_view raw = bytes(sizeof value);
    if (ok_) std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }
  std::string_view bytes(size_t num_bytes) {
    if (num_bytes > rest_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view taken = rest_.substr(0, num_bytes);
    rest_.remove_prefix(num_bytes);
    return taken;
  }
  std::string_view text() { return bytes(number<uint16_t>()); }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace skarv::net
