#include "data/trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "base/text.h"
#include "data/byte_alphabet.h"

namespace skarv {
namespace {

constexpr int64_t kMinCount = 2;
constexpr int32_t kBorder = -1;  // between words, and where a symbol was merged away
constexpr uint64_t kMaxSymbols = uint64_t{1} << 31;

// All distinct words in one row of symbols, linked by index, with a border before, between and
// after them; and for each pair of neighbours how often it occurs and where. Places are never taken
// out of a pair's list: one whose symbols have changed is passed over when its turn comes. So a
// merge costs only as much as the pair occurs, however long the words are.
class PairCounts {
 public:
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> places;
    bool is_new = false;
  };
  struct Candidate {
    int64_t count;
    uint64_t key;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  PairCounts(const WordCounter& words, const std::array<int32_t, 256>& byte_ids) {
    const size_t size = words.num_distinct_bytes() + words.num_words() + 1;
    symbols_.reserve(size);
    word_of_.reserve(size);
    for (size_t i = 0; i < words.num_words(); ++i) {
      push(kBorder, 0);
      for (char c : words.word(i)) push(byte_ids[static_cast<uint8_t>(c)], i);
      counts_.push_back(static_cast<int64_t>(words.count(i)));
    }
    push(kBorder, 0);
    previous_.resize(symbols_.size());
    next_.resize(symbols_.size());
    for (uint32_t place = 0; place < symbols_.size(); ++place) {
      previous_[place] = place - 1;
      next_[place] = place + 1;
    }
    for (uint32_t place = 1; place + 1 < symbols_.size(); ++place) change(place, 1);
    queue_new();
  }

  // Takes the most frequent pair; nothing when none is frequent enough.
  bool pop(Candidate* best) {
    while (!queue_.empty()) {
      *best = queue_.top();
      queue_.pop();
      const int64_t count = pairs_.find(best->key)->count;
      if (count == best->count) return true;
      if (count >= kMinCount) queue_.push({count, best->key});
    }
    return false;
  }

  void merge(uint64_t key, int32_t merged) {
    const int32_t left = static_cast<int32_t>(key >> 32), right = static_cast<int32_t>(key);
    // Moved out: the changes below may move the map's slots.
    std::vector<uint32_t> places = std::move(pairs_.find(key)->places);
    // Overlapping pairs ("aaa") merge from the left.
    std::sort(places.begin(), places.end());
    for (uint32_t place : places) {
      if (symbols_[place] != left || symbols_[next_[place]] != right) continue;
      const uint32_t gone = next_[place];
      change(previous_[place], -1);
      change(gone, -1);
      symbols_[place] = merged;
      symbols_[gone] = kBorder;
      next_[place] = next_[gone];
      previous_[next_[place]] = place;
      change(previous_[place], 1);
      change(place, 1);
    }
    Pair& done = *pairs_.find(key);
    done.count = 0;
    done.places = {};
    queue_new();
  }

 private:
  void push(int32_t symbol, size_t word) {
    symbols_.push_back(symbol);
    word_of_.push_back(static_cast<uint32_t>(word));
  }

  // Counts the pair that begins at `place` once more or once less, unless a border is part of it.
  void change(uint32_t place, int sign) {
    const int32_t left = symbols_[place];
    if (left == kBorder || symbols_[next_[place]] == kBorder) return;
    const uint64_t key = pair_key(left, symbols_[next_[place]]);
    Pair& pair = pairs_[key];
    pair.count += sign * counts_[word_of_[place]];
    if (sign < 0) return;
    pair.places.push_back(place);
    if (!pair.is_new) {
      pair.is_new = true;
      new_.push_back(key);
    }
  }

  void queue_new() {
    for (uint64_t key : new_) {
      Pair& pair = *pairs_.find(key);
      pair.is_new = false;
      if (pair.count >= kMinCount) queue_.push({pair.count, key});
    }
    new_.clear();
  }

  std::vector<int32_t> symbols_;
  std::vector<uint32_t> previous_, next_, word_of_;
  std::vector<int64_t> counts_;  // by word
  PairMap<Pair> pairs_;
  std::vector<uint64_t> new_;  // pairs that grew since they were last queued
  std::priority_queue<Candidate> queue_;
};

}  // namespace

Result<Tokenizer> train_tokenizer(const WordCounter& words, int32_t vocabulary_size,
                                  const std::function<void(double)>& progress) {
  if (vocabulary_size < kMinVocabularySize || vocabulary_size > kMaxVocabularySize) {
    return config_error(cat("a vocabulary of ", vocabulary_size, " tokens is out of bounds"))
        .with_hint(
            cat("choose ", kMinVocabularySize, " (bytes and end of text) to ", kMaxVocabularySize));
  }
  if (words.num_words() == 0) return config_error("no text to learn a tokenizer from");
  if (words.num_distinct_bytes() + words.num_words() >= kMaxSymbols) {
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  "too many distinct words to learn a tokenizer from: " +
                      human_bytes(static_cast<double>(words.num_distinct_bytes())))
        .with_hint("learn it from a smaller part of the corpus");
  }
  TokenizerParts parts;
  parts.tokens.emplace_back(kEndOfText);
  parts.special.push_back(0);
  std::array<uint8_t, 256> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes[byte] = static_cast<uint8_t>(byte);
  std::sort(bytes.begin(), bytes.end(), [](uint8_t a, uint8_t b) {
    return ByteAlphabet::code_point(a) < ByteAlphabet::code_point(b);
  });
  std::array<int32_t, 256> byte_ids;
  std::unordered_map<std::string, int32_t> ids;
  const auto add = [&](const std::string& token) {
    const auto [found, added] = ids.emplace(token, static_cast<int32_t>(parts.tokens.size()));
    if (added) parts.tokens.push_back(token);
    return found->second;
  };
  for (uint8_t byte : bytes) byte_ids[byte] = add(std::string(1, static_cast<char>(byte)));

  PairCounts counts(words, byte_ids);
  PairCounts::Candidate best;
  while (static_cast<int32_t>(parts.tokens.size()) < vocabulary_size && counts.pop(&best)) {
    const int32_t left = static_cast<int32_t>(best.key >> 32),
                  right = static_cast<int32_t>(best.key);
    // Two ways of cutting may make the same token: then both merges lead to one id.
    const int32_t merged = add(parts.tokens[left] + parts.tokens[right]);
    parts.merges.emplace_back(left, right);
    counts.merge(best.key, merged);
    if (progress && parts.merges.size() % 64 == 0) {
      progress(static_cast<double>(parts.tokens.size()) / vocabulary_size);
    }
  }
  return Tokenizer::create(std::move(parts));
}

}  // namespace skarv
