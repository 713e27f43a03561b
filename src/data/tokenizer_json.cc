// Reading and writing `tokenizer.json`. In the file a token is text: each byte stands for one
// character of GPT-2's byte alphabet, printable bytes for themselves, the 68 others for U+0100 on.
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/byte_alphabet.h"
#include "data/tokenizer.h"

namespace skarv {
namespace {

// nlohmann's map-backed type: the ordered one of base finds keys by walking, which a vocabulary of
// a hundred thousand tokens turns into minutes.
using Tree = nlohmann::json;

std::string in_quotes(std::string_view text) {
  return Tree(text).dump(-1, ' ', false, Tree::error_handler_t::replace);
}

Status unsupported(const std::string& what) {
  return config_error("not supported in a tokenizer: " + what)
      .with_hint("use a byte-level BPE tokenizer of the GPT-2 kind, or train one: skarv data");
}

// The value of a key, or null.
const Tree& member(const Tree& object, const char* key) {
  static const Tree kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool is_set(const Tree& value) {
  return !(value.is_null() || value == false || value == "" || (value.is_array() && value.empty()));
}

Status check_kind(const Tree& root) {
  if (!root.is_object() || !member(root, "model").is_object()) {
    return config_error("this is no tokenizer.json: there is no object \"model\"");
  }
  for (const char* key : {"normalizer", "truncation", "padding"}) {
    if (is_set(member(root, key))) return unsupported(key);
  }
  const Tree& cutter = member(root, "pre_tokenizer");
  if (!cutter.is_object() || member(cutter, "type") != "ByteLevel") {
    return unsupported("a pre_tokenizer other than ByteLevel");
  }
  if (member(cutter, "use_regex") == false) return unsupported("ByteLevel with use_regex false");
  // The package's default for add_prefix_space is true.
  if (member(cutter, "add_prefix_space") != false) return unsupported("add_prefix_space true");
  const Tree& after = member(root, "post_processor");
  if (!after.is_null() && (!after.is_object() || member(after, "type") != "ByteLevel")) {
    return unsupported("a post_processor that adds tokens");
  }
  const Tree& model = member(root, "model");
  if (const Tree& type = member(model, "type"); !type.is_null() && type != "BPE") {
    return unsupported("a model of type " + type.dump());
  }
  for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                          "byte_fallback", "ignore_merges"}) {
    if (is_set(member(model, key))) return unsupported(cat("\"", key, "\" of the model"));
  }
  return Status();
}

struct AddedToken {
  int64_t id;
  std::string content;
};

Result<std::vector<AddedToken>> read_added_tokens(const Tree& list) {
  std::vector<AddedToken> added;
  if (list.is_null()) return added;
  if (!list.is_array()) return config_error("\"added_tokens\" is no list");
  for (const Tree& entry : list) {
    if (!entry.is_object() || !member(entry, "id").is_number_integer() ||
        !member(entry, "content").is_string()) {
      return config_error("an entry of \"added_tokens\" has no id or no content");
    }
    const std::string content = member(entry, "content").get<std::string>();
    if (content.empty()) return config_error("an added token is empty");
    if (member(entry, "special") != true)
      return unsupported("added token " + in_quotes(content) + ", which is not special");
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (is_set(member(entry, key))) {
        return unsupported(cat("\"", key, "\" of added token ", in_quotes(content)));
      }
    }
    added.push_back({member(entry, "id").get<int64_t>(), content});
  }
  return added;
}

class PartsReader {
 public:
  Status read(const Tree& root) {
    const Tree& model = member(root, "model");
    const Tree& vocabulary = member(model, "vocab");
    if (!vocabulary.is_object()) return config_error("\"vocab\" of the model is no object");
    SKARV_ASSIGN(const std::vector<AddedToken> added,
                 read_added_tokens(member(root, "added_tokens")));
    // Ids are dense, so the number of entries bounds them and the tables.
    parts_.tokens.resize(vocabulary.size() + added.size());
    taken_.assign(parts_.tokens.size(), false);
    for (const AddedToken& token : added) {
      SKARV_TRY(place(token.id, token.content, token.content));
      parts_.special.push_back(static_cast<int32_t>(token.id));
    }
    for (const auto& [text, id] : vocabulary.items()) {
      if (!id.is_number_integer())
        return config_error("the id of token " + in_quotes(text) + " is no integer");
      const int64_t value = id.get<int64_t>();
      ids_.emplace(text, static_cast<int32_t>(value));
      // A special token is usually listed in both places.
      if (value >= 0 && static_cast<size_t>(value) < taken_.size() && taken_[value] &&
          parts_.tokens[value] == text) {
        continue;
      }
      const std::optional<std::string> bytes = ByteAlphabet::to_bytes(text);
      if (!bytes) {
        return config_error("token " + in_quotes(text) +
                            " has characters outside the byte alphabet");
      }
      SKARV_TRY(place(value, text, *bytes));
    }
    while (!taken_.empty() && !taken_.back()) taken_.pop_back();
    parts_.tokens.resize(taken_.size());
    for (size_t id = 0; id < taken_.size(); ++id) {
      if (!taken_[id]) return config_error(cat("no token has the id ", id));
    }
    return read_merges(member(model, "merges"));
  }
  TokenizerParts take() { return std::move(parts_); }

 private:
  Status place(int64_t id, const std::string& text, std::string bytes) {
    if (id < 0 || static_cast<size_t>(id) >= taken_.size()) {
      return config_error(
          cat("token ", in_quotes(text), " has the id ", id, ", outside 0 to ", taken_.size() - 1));
    }
    if (taken_[id]) return config_error(cat("two tokens have the id ", id));
    taken_[id] = true;
    parts_.tokens[id] = std::move(bytes);
    return Status();
  }

  Status read_merges(const Tree& merges) {
    if (!merges.is_array()) return config_error("\"merges\" of the model is no list");
    for (const Tree& merge : merges) {
      std::array<std::string, 2> sides;
      if (merge.is_string()) {  // written before version 0.20 of the package: "left right"
        const std::string text = merge.get<std::string>();
        const size_t blank = text.find(' ');
        if (blank == std::string::npos)
          return config_error("merge " + in_quotes(text) + " has no blank");
        sides = {text.substr(0, blank), text.substr(blank + 1)};
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        sides = {merge[0].get<std::string>(), merge[1].get<std::string>()};
      } else {
        return config_error(cat("merge ", parts_.merges.size(), " is no pair of tokens"));
      }
      std::array<int32_t, 2> pair;
      for (int i = 0; i < 2; ++i) {
        const auto found = ids_.find(sides[i]);
        if (found == ids_.end()) {
          return config_error(cat("merge ", parts_.merges.size(), " names ", in_quotes(sides[i]),
                                  ", which is not in the vocabulary"));
        }
        pair[i] = found->second;
      }
      parts_.merges.emplace_back(pair[0], pair[1]);
    }
    return Status();
  }

  TokenizerParts parts_;
  std::vector<bool> taken_;
  std::unordered_map<std::string, int32_t> ids_;
};

Result<Tokenizer> from_tree(const Tree& root) {
  SKARV_TRY(check_kind(root));
  PartsReader reader;
  SKARV_TRY(reader.read(root));
  return Tokenizer::create(reader.take());
}

}  // namespace

Result<Tokenizer> Tokenizer::parse(std::string_view json, const std::string& origin) {
  const Tree root = Tree::parse(json, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return parse_json(json, origin).status();  // says the line
  Result<Tokenizer> made = from_tree(root);
  if (!made.ok()) return made.status().at(origin);
  return made;
}

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  SKARV_ASSIGN(const std::string json, read_file(path));
  return parse(json, path.string());
}

std::string Tokenizer::to_json() const {
  std::vector<std::string> texts(parts_.tokens.size());
  std::string added;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (!is_special_[id]) {
      texts[id] = in_quotes(ByteAlphabet::to_text(parts_.tokens[id]));
      continue;
    }
    texts[id] = in_quotes(parts_.tokens[id]);
    added += cat(added.empty() ? "" : ",", "\n    {\"id\": ", id, ", \"content\": ", texts[id],
                 ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                 "\"normalized\": false, \"special\": true}");
  }
  std::string json = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  json += "  \"added_tokens\": [" + added + "\n  ],\n  \"normalizer\": null,\n";
  const std::string kind =
      "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
      "\"use_regex\": true}";
  json += "  \"pre_tokenizer\": " + kind + ",\n  \"post_processor\": null,\n";
  json += "  \"decoder\": " + kind + ",\n";
  json +=
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
      "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
      "    \"vocab\": {";
  for (size_t id = 0; id < texts.size(); ++id) {
    json += (id == 0 ? "\n      " : ",\n      ") + texts[id] + ": " + std::to_string(id);
  }
  json += "\n    },\n    \"merges\": [";
  for (size_t rank = 0; rank < parts_.merges.size(); ++rank) {
    const auto& [left, right] = parts_.merges[rank];
    json += (rank == 0 ? "\n      [" : ",\n      [") + texts[left] + ", " + texts[right] + "]";
  }
  return json + "\n    ]\n  }\n}\n";
}

Status Tokenizer::save(const std::filesystem::path& path) const {
  return write_file_atomic(path, to_json());
}

}  // namespace skarv
