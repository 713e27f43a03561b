// The alphabet in which `tokenizer.json` writes bytes as characters: printable bytes stand for
// themselves, the 68 others for U+0100 and the following, in order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skarv {

struct ByteAlphabet {
  static int32_t code_point(uint8_t byte);
  static std::string to_text(std::string_view bytes);
  // Nothing when a character does not belong to the alphabet.
  static std::optional<std::string> to_bytes(std::string_view text);
};

}  // namespace skarv
