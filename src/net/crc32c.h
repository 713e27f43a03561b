// CRC-32C (Castagnoli), the checksum of frames: finds bits that flipped in memory or in a
// middlebox; it proves nothing against an adversary (TLS and digests do).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace skarv::net {

// Continues `crc` (0 to begin with), so that crc32c(b, crc32c(a)) is the checksum of a then b.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

// The table-driven form that processors without the instruction use; the same values.
uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace skarv::net
