// The four classes of characters that the GPT-2 regular expression tells apart, by Unicode 16.0.
// The table is compiled in: token ids must not depend on the Unicode version of a site's libraries.
#pragma once

#include <cstdint>

namespace skarv {

enum class CharacterClass : uint8_t {
  kOther,   // [^\s\p{L}\p{N}], and bytes that are no UTF-8
  kLetter,  // \p{L}
  kNumber,  // \p{N}
  kSpace,   // \s, the property White_Space
};

// Any value is allowed; what is no code point is kOther. Thread-safe.
CharacterClass character_class(int32_t code_point);

}  // namespace skarv
