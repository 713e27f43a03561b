// UTF-8 as this room needs it: step through bytes that may be invalid, and repair them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skarv {

struct CodePoint {
  int32_t value;    // -1: the bytes here are no UTF-8
  uint32_t length;  // bytes; of an invalid sequence its maximal valid prefix (at least 1)
};

// The code point at `position`. Overlong forms, surrogates and values above U+10FFFF are invalid.
// REQUIRES: position < text.size().
CodePoint decode_utf8(std::string_view text, size_t position);

// Replaces each maximal invalid part by U+FFFD, as the Unicode standard recommends (and as Python's
// errors="replace" does). Returns how many were replaced; 0 leaves `text` untouched.
uint64_t repair_utf8(std::string& text);

// Whether the beginning of a file looks like text: no NUL byte and valid UTF-8, except that the
// last sequence may be cut off.
bool looks_like_text(std::string_view beginning);

}  // namespace skarv
