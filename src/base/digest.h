// SHA-256 digests and Merkle roots over them: how sites prove that they hold the same bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace skarv {

struct Digest {
  std::array<uint8_t, 32> bytes{};

  auto operator<=>(const Digest&) const = default;
  bool is_zero() const { return *this == Digest{}; }
  std::string hex() const;        // 64 letters
  std::string short_hex() const;  // the first 12, for people
  static Result<Digest> parse(std::string_view hex);
};

// Incremental SHA-256. Not thread-safe.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& add(std::span<const std::byte> data);
  Hasher& add(std::string_view text);
  // Little-endian bytes of a number.
  template <typename T>
    requires std::is_arithmetic_v<T>
  Hasher& add_number(T value) {
    return add(std::as_bytes(std::span<const T>(&value, 1)));
  }
  Digest finish();  // resets

 private:
  void* context_;
};

Digest digest_of(std::span<const std::byte> data);
Digest digest_of(std::string_view text);

// Root of a binary Merkle tree: leaves and inner nodes carry different prefixes, an odd node moves
// up unchanged. The root of no leaves is the digest of the empty string.
Digest merkle_root(std::span<const Digest> leaves);

}  // namespace skarv

template <>
struct std::hash<skarv::Digest> {
  size_t operator()(const skarv::Digest& digest) const noexcept {
    size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};
