// Text to token ids. Holds a cache of words it has met, which is what makes it fast: text repeats
// its words. One encoder a thread; 2 MB each.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace skarv {

// What the text of a special token inside ordinary text becomes.
enum class SpecialText {
  kOrdinary,  // ordinary tokens: a document cannot forge the end of a document. For corpora.
  kToken,     // its own id, as the `tokenizers` package does by default. For trusted prompts.
};

// Not thread-safe. Never fails: any bytes can be encoded, invalid UTF-8 byte by byte.
class Encoder {
 public:
  // `tokenizer` must outlive the encoder.
  explicit Encoder(const Tokenizer& tokenizer);

  // Appends the ids of `text` to `ids`. Time grows with n log n in the worst case, whatever `text`.
  void encode(std::string_view text, std::vector<int32_t>& ids,
              SpecialText special = SpecialText::kOrdinary);

 private:
  static constexpr size_t kMaxWord = 30;
  static constexpr size_t kMaxIds = 8;
  // A cache line; the slot of a word is fixed by its hash, and a later word overwrites it.
  struct alignas(64) Slot {
    uint8_t length = 0;
    uint8_t num_ids = 0;
    char word[kMaxWord];
    int32_t ids[kMaxIds];
  };

  void encode_ordinary(std::string_view text, std::vector<int32_t>& ids);
  // Writes the ids of one word to `out`, which has room for one id a byte; returns their number.
  size_t merge_short(std::string_view word, int32_t* out) const;
  size_t merge_long(std::string_view word, int32_t* out) const;
  size_t merge(std::string_view word, int32_t* out) const;

  const Tokenizer& tokenizer_;
  std::vector<Slot> slots_;
};

}  // namespace skarv
