#include "data/utf8.h"

#include <cstring>

namespace skarv {

CodePoint decode_utf8(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[position + i]); };
  const size_t available = text.size() - position;
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  // Bounds of the second byte exclude overlong forms, surrogates and what lies above U+10FFFF.
  uint32_t length;
  uint8_t low = 0x80, high = 0xBF;
  int32_t value;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    value = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    value = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    value = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {-1, 1};
  }
  for (uint32_t i = 1; i < length; ++i) {
    if (i >= available || byte(i) < low || byte(i) > high) return {-1, i};
    value = value << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {value, length};
}

namespace {

// The first position at or after `position` with a byte above 0x7F.
size_t skip_ascii(std::string_view text, size_t position) {
  for (; position + 8 <= text.size(); position += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + position, sizeof word);
    if (word & 0x8080808080808080) break;
  }
  while (position < text.size() && static_cast<uint8_t>(text[position]) < 0x80) ++position;
  return position;
}

// The first invalid position, or the size.
size_t first_invalid(std::string_view text, size_t position) {
  while ((position = skip_ascii(text, position)) < text.size()) {
    const CodePoint point = decode_utf8(text, position);
    if (point.value < 0) return position;
    position += point.length;
  }
  return text.size();
}

}  // namespace

uint64_t repair_utf8(std::string& text) {
  size_t bad = first_invalid(text, 0);
  if (bad == text.size()) return 0;
  std::string repaired;
  repaired.reserve(text.size() + 16);
  uint64_t num_replaced = 0;
  size_t begin = 0;
  while (bad < text.size()) {
    repaired.append(text, begin, bad - begin).append("\xEF\xBF\xBD");
    ++num_replaced;
    begin = bad + decode_utf8(text, bad).length;
    bad = first_invalid(text, begin);
  }
  repaired.append(text, begin);
  text = std::move(repaired);
  return num_replaced;
}

bool looks_like_text(std::string_view beginning) {
  if (beginning.find('\0') != std::string_view::npos) return false;
  const size_t bad = first_invalid(beginning, 0);
  return bad == beginning.size() || (beginning.size() - bad < 4 &&
                                     bad + decode_utf8(beginning, bad).length == beginning.size() &&
                                     static_cast<uint8_t>(beginning[bad]) >= 0xC2 &&
                                     static_cast<uint8_t>(beginning[bad]) <= 0xF4);
}

}  // namespace skarv
