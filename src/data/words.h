// Cuts text into the words within which byte-level BPE merges: a hand-written scanner equal to the
// regular expression of GPT-2,
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Words follow each other without gaps. Bytes that are no UTF-8 count as "other" characters, so any
// bytes can be cut, and nothing is lost.
#pragma once

#include <cstddef>
#include <string_view>

namespace skarv {

// The end of the word that begins at `begin`. REQUIRES: begin < text.size(). Thread-safe.
size_t word_end(std::string_view text, size_t begin);

// Calls visit(word) for each word of `text`, in order.
template <typename Visit>
void for_each_word(std::string_view text, Visit&& visit) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(text, begin);
    visit(text.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace skarv
