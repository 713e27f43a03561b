// Learns a byte-level BPE tokenizer from text: the most frequent pair of neighbouring tokens
// becomes a token, again and again; among equals the pair with the smaller ids. The result is that
// of Hugging Face's BpeTrainer with min_frequency 2 and the byte alphabet, id for id.
//
// Ids: 0 the end of text, 1 to 256 the bytes in the order of their characters in `tokenizer.json`,
// then the learned tokens in the order of learning.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "data/tokenizer.h"

namespace skarv {

inline constexpr int32_t kMinVocabularySize = 257;
inline constexpr int32_t kMaxVocabularySize = 1 << 20;

// How often each distinct word of a text occurs. Not thread-safe. Holds each distinct word once.
class WordCounter {
 public:
  void add(std::string_view text);
  size_t num_words() const { return counts_.size(); }
  uint64_t num_distinct_bytes() const { return bytes_.size(); }
  std::string_view word(size_t index) const {
    return std::string_view(bytes_).substr(begins_[index], begins_[index + 1] - begins_[index]);
  }
  uint64_t count(size_t index) const { return counts_[index]; }

 private:
  void count_word(std::string_view word);
  void grow();

  std::string bytes_;
  std::vector<uint64_t> begins_{0};
  std::vector<uint64_t> counts_;
  std::vector<uint64_t> slots_;  // upper half of the hash, then index + 1; 0 is free
};

// `progress`, if set, is told the fraction done now and then. Memory: about 40 bytes for each byte
// of distinct words. Stops early, with fewer tokens, when no pair occurs twice any more. Errors:
// kInvalidArgument for a vocabulary size out of bounds or no words at all; kResourceExhausted for
// more than 2 GB of distinct words.
Result<Tokenizer> train_tokenizer(const WordCounter& words, int32_t vocabulary_size,
                                  const std::function<void(double)>& progress = nullptr);

}  // namespace skarv
