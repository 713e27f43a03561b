#include "data/tokenizer.h"

#include <unordered_map>

#include "base/text.h"

namespace skarv {

Result<Tokenizer> Tokenizer::create(TokenizerParts parts) {
  Tokenizer made;
  const size_t num_tokens = parts.tokens.size();
  made.is_special_.assign(num_tokens, false);
  for (int32_t id : parts.special) {
    if (id < 0 || static_cast<size_t>(id) >= num_tokens) {
      return config_error(cat("special token ", id, " is outside the vocabulary of ", num_tokens));
    }
    if (parts.tokens[id] == kEndOfText) made.end_of_text_ = id;
    made.is_special_[id] = true;
  }
  if (made.end_of_text_ < 0) {
    return config_error(cat("no special token ", kEndOfText))
        .with_hint("documents are separated by it: add it to the added tokens");
  }
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < num_tokens; ++id) {
    if (made.is_special_[id]) continue;
    if (!ids.emplace(parts.tokens[id], static_cast<int32_t>(id)).second) {
      return config_error(cat("tokens ", ids[parts.tokens[id]], " and ", id, " are the same"));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = ids.find(std::string_view(&c, 1));
    if (found == ids.end()) return config_error(cat("byte ", byte, " has no token"));
    made.byte_ids_[byte] = found->second;
  }
  std::string joined;
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto [left, right] = parts.merges[rank];
    for (int32_t id : {left, right}) {
      if (id < 0 || static_cast<size_t>(id) >= num_tokens) {
        return config_error(cat("merge ", rank, " names token ", id, " of ", num_tokens));
      }
    }
    joined.assign(parts.tokens[left]).append(parts.tokens[right]);
    const auto found = ids.find(joined);
    if (found == ids.end()) {
      return config_error(cat("merge ", rank, " of tokens ", left, " and ", right,
                              " makes a token that is not in the vocabulary"));
    }
    made.merges_[pair_key(left, right)] = {static_cast<uint32_t>(rank), found->second};
  }
  made.parts_ = std::move(parts);
  return made;
}

Digest Tokenizer::digest() const {
  Hasher hasher;
  hasher.add_number(static_cast<uint64_t>(parts_.tokens.size()));
  for (size_t id = 0; id < parts_.tokens.size(); ++id) {
    hasher.add_number(static_cast<uint64_t>(parts_.tokens[id].size()));
    hasher.add(parts_.tokens[id]).add_number(static_cast<uint8_t>(is_special_[id]));
  }
  for (const auto& [left, right] : parts_.merges) hasher.add_number(left).add_number(right);
  return hasher.finish();
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, bool with_special) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t id = ids[i];
    if (id < 0 || id >= vocabulary_size()) {
      return config_error(cat("token ", id, " at position ", i, " is outside the vocabulary of ",
                              vocabulary_size()))
          .with_hint("the ids come from another tokenizer");
    }
    if (with_special || !is_special_[id]) text += parts_.tokens[id];
  }
  return text;
}

}  // namespace skarv
