// A byte-level BPE tokenizer as GPT-2's: any bytes in, ids out, and exactly those bytes back. Its
// file is Hugging Face's `tokenizer.json`; ids equal those of the `tokenizers` package.
//
// It does not: normalise text, know other pre-tokenizers than GPT-2's, or add tokens by itself (no
// begin-of-text, no post-processor). Files that ask for these are refused by name.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "data/pair_map.h"

namespace skarv {

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// What two neighbouring tokens become. Lower ranks merge first.
struct Merge {
  uint32_t rank = 0;
  int32_t id = -1;
};

// The parts of which a tokenizer consists; `Tokenizer::create` checks them.
struct TokenizerParts {
  std::vector<std::string> tokens;                  // by id: raw bytes, or a special token's text
  std::vector<int32_t> special;                     // ids of special tokens
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank
};

// Immutable and thread-safe.
class Tokenizer {
 public:
  // Errors: kInvalidArgument when one of the 256 bytes or the end-of-text token is missing, tokens
  // repeat, or a merge names or makes a token that is not there.
  static Result<Tokenizer> create(TokenizerParts parts);
  // Errors: kInvalidArgument with `origin` and what is not supported.
  static Result<Tokenizer> parse(std::string_view json, const std::string& origin);
  static Result<Tokenizer> load(const std::filesystem::path& path);
  std::string to_json() const;
  Status save(const std::filesystem::path& path) const;  // atomic

  int32_t vocabulary_size() const { return static_cast<int32_t>(parts_.tokens.size()); }
  int32_t end_of_text() const { return end_of_text_; }
  const TokenizerParts& parts() const { return parts_; }
  bool is_special(int32_t id) const { return is_special_[id]; }
  // Of everything that decides ids: equal digests, equal ids.
  Digest digest() const;

  // The bytes of `ids`; those of special tokens only when asked for. They are valid UTF-8 when the
  // ids came from valid UTF-8; ids that a model sampled may stop inside a character (repair_utf8).
  // Errors: kInvalidArgument for an id outside the vocabulary.
  Result<std::string> decode(std::span<const int32_t> ids, bool with_special = false) const;

  int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }
  // Null when the pair does not merge.
  const Merge* merge_of(int32_t left, int32_t right) const {
    return merges_.find(pair_key(left, right));
  }

 private:
  TokenizerParts parts_;
  std::vector<bool> is_special_;
  std::array<int32_t, 256> byte_ids_{};
  PairMap<Merge> merges_;
  int32_t end_of_text_ = -1;
};

}  // namespace skarv
