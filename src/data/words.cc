#include "data/words.h"

#include <array>

#include "data/unicode_class.h"
#include "data/utf8.h"

namespace skarv {
namespace {

constexpr uint8_t kNotAscii = 255;

constexpr std::array<uint8_t, 256> kByteClasses = [] {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    CharacterClass value = CharacterClass::kOther;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) value = CharacterClass::kLetter;
    if (c >= '0' && c <= '9') value = CharacterClass::kNumber;
    if ((c >= '\t' && c <= '\r') || c == ' ') value = CharacterClass::kSpace;
    classes[c] = c < 0x80 ? static_cast<uint8_t>(value) : kNotAscii;
  }
  return classes;
}();

struct Character {
  CharacterClass klass;
  uint32_t length;
};

inline Character character_at(std::string_view text, size_t position) {
  const uint8_t klass = kByteClasses[static_cast<uint8_t>(text[position])];
  if (klass != kNotAscii) return {static_cast<CharacterClass>(klass), 1};
  const CodePoint point = decode_utf8(text, position);
  // An invalid sequence is taken byte by byte: the longest valid prefix means nothing here.
  if (point.value < 0) return {CharacterClass::kOther, 1};
  return {character_class(point.value), point.length};
}

inline size_t run_end(std::string_view text, size_t position, CharacterClass klass) {
  while (position < text.size()) {
    const Character next = character_at(text, position);
    if (next.klass != klass) break;
    position += next.length;
  }
  return position;
}

// 's|'t|'re|'ve|'m|'ll|'d after the apostrophe: the length of the match, 0 for none.
size_t contraction_length(std::string_view rest) {
  if (rest.empty()) return 0;
  switch (rest[0]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 1;
    case 'r':
    case 'v':
      return rest.size() > 1 && rest[1] == 'e' ? 2 : 0;
    case 'l':
      return rest.size() > 1 && rest[1] == 'l' ? 2 : 0;
    default:
      return 0;
  }
}

}  // namespace

size_t word_end(std::string_view text, size_t begin) {
  const Character first = character_at(text, begin);
  if (first.klass != CharacterClass::kSpace) {
    if (text[begin] == '\'') {
      const size_t length = contraction_length(text.substr(begin + 1));
      if (length > 0) return begin + 1 + length;
    }
    return run_end(text, begin + first.length, first.klass);
  }
  size_t last = begin;  // where the last space of the run begins
  size_t end = begin + first.length;
  while (end < text.size()) {
    const Character next = character_at(text, end);
    if (next.klass != CharacterClass::kSpace) {
      // A single blank belongs to the word after it; of a longer run the last space is left over
      // (for that word, if it is a blank, else for itself).
      if (last > begin) return last;
      return text[begin] == ' ' ? run_end(text, end + next.length, next.klass) : end;
    }
    last = end;
    end += next.length;
  }
  return end;
}

}  // namespace skarv
