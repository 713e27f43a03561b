#include "net/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace skarv::net {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// tables[k][b]: the effect of byte b followed by k zero bytes ("slicing by 8").
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

#if defined(__x86_64__)
// Three independent streams hide the instruction's latency of three cycles; `shift` moves the
// checksum of one stream past the bytes of the next.
constexpr size_t kStride = 2048;

// shift[k][b]: the checksum state b << 8k after kStride zero bytes.
using Shift = std::array<std::array<uint32_t, 256>, 4>;

Shift make_shift() {
  std::array<uint32_t, 32> image{};  // of each single bit
  for (size_t bit = 0; bit < 32; ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kStride; ++i) crc = (crc >> 8) ^ kTables[0][crc & 0xff];
    image[bit] = crc;
  }
  Shift shift{};
  for (size_t k = 0; k < 4; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      for (size_t bit = 0; bit < 8; ++bit) {
        if (byte >> bit & 1) shift[k][byte] ^= image[8 * k + bit];
      }
    }
  }
  return shift;
}

uint32_t past_stride(const Shift& shift, uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][crc >> 8 & 0xff] ^ shift[2][crc >> 16 & 0xff] ^
         shift[3][crc >> 24];
}

uint64_t load64(const std::byte* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(std::span<const std::byte> bytes,
                                                        uint32_t crc) {
  static const Shift shift = make_shift();
  const std::byte* at = bytes.data();
  size_t rest = bytes.size();
  uint64_t state = ~crc;
  while (rest >= 3 * kStride) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStride; i += 8) {
      state = _mm_crc32_u64(state, load64(at + i));
      second = _mm_crc32_u64(second, load64(at + kStride + i));
      third = _mm_crc32_u64(third, load64(at + 2 * kStride + i));
    }
    state = past_stride(shift, static_cast<uint32_t>(state)) ^ second;
    state = past_stride(shift, static_cast<uint32_t>(state)) ^ third;
    at += 3 * kStride;
    rest -= 3 * kStride;
  }
  for (; rest >= 8; at += 8, rest -= 8) state = _mm_crc32_u64(state, load64(at));
  auto narrow = static_cast<uint32_t>(state);
  for (; rest > 0; ++at, --rest) narrow = _mm_crc32_u8(narrow, std::to_integer<uint8_t>(*at));
  return ~narrow;
}
#endif

}  // namespace

uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc) {
  const std::byte* at = bytes.data();
  size_t rest = bytes.size();
  crc = ~crc;
  for (; rest >= 8; at += 8, rest -= 8) {
    uint32_t low, high;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    crc = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][high >> 8 & 0xff] ^
          kTables[1][high >> 16 & 0xff] ^ kTables[0][high >> 24];
  }
  for (; rest > 0; ++at, --rest) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(*at)) & 0xff];
  }
  return ~crc;
}

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return crc32c_sse42(bytes, crc);
#endif
  return crc32c_portable(bytes, crc);
}

}  // namespace skarv::net
