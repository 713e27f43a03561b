#include "data/byte_alphabet.h"

#include <array>

#include "data/utf8.h"

namespace skarv {
namespace {

constexpr bool is_printable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr std::array<int16_t, 256> kCodePoints = [] {
  std::array<int16_t, 256> points{};
  int16_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    points[byte] = is_printable(byte) ? static_cast<int16_t>(byte) : next++;
  }
  return points;
}();

// Its inverse; -1 where no byte is meant.
constexpr std::array<int16_t, 256 + 68> kBytes = [] {
  std::array<int16_t, 256 + 68> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  for (int byte = 0; byte < 256; ++byte) bytes[kCodePoints[byte]] = static_cast<int16_t>(byte);
  return bytes;
}();

}  // namespace

int32_t ByteAlphabet::code_point(uint8_t byte) { return kCodePoints[byte]; }

std::string ByteAlphabet::to_text(std::string_view bytes) {
  std::string text;
  for (char c : bytes) {
    const int point = kCodePoints[static_cast<uint8_t>(c)];
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else {
      text += static_cast<char>(0xC0 | point >> 6);
      text += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return text;
}

std::optional<std::string> ByteAlphabet::to_bytes(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = decode_utf8(text, i);
    if (point.value < 0 || point.value >= static_cast<int32_t>(kBytes.size()) ||
        kBytes[point.value] < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(kBytes[point.value]);
    i += point.length;
  }
  return bytes;
}

}  // namespace skarv
