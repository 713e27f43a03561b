#include "data/encoder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <queue>
#include <tuple>

#include "data/words.h"

namespace skarv {
namespace {

constexpr int kSlotBits = 15;
constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
// Up to here scanning all pairs for the best one beats a heap.
constexpr size_t kShortWord = 48;

uint64_t load_bytes(const char* from, size_t count) {
  uint64_t value = 0;
  std::memcpy(&value, from, count);
  return value;
}

uint64_t hash_of(std::string_view word) {
  uint64_t hash = word.size() * 0x9E3779B97F4A7C15;
  const char* from = word.data();
  size_t left = word.size();
  for (; left > 8; left -= 8, from += 8) {
    hash = (hash ^ load_bytes(from, 8)) * 0xD6E8FEB86659FD93;
    hash ^= hash >> 32;
  }
  return (hash ^ load_bytes(from, left)) * 0x9E3779B97F4A7C15;
}

}  // namespace

Encoder::Encoder(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), slots_(size_t{1} << kSlotBits) {}

size_t Encoder::merge_short(std::string_view word, int32_t* out) const {
  // pairs[i] is the merge of out[i] and out[i + 1].
  Merge pairs[kShortWord];
  const auto look_up = [&](size_t i) {
    const Merge* found = tokenizer_.merge_of(out[i], out[i + 1]);
    pairs[i] = found ? *found : Merge{kNoRank, -1};
  };
  size_t size = word.size();
  for (size_t i = 0; i < size; ++i) out[i] = tokenizer_.byte_id(static_cast<uint8_t>(word[i]));
  for (size_t i = 0; i + 1 < size; ++i) look_up(i);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    out[best] = pairs[best].id;
    --size;
    std::copy(out + best + 2, out + size + 1, out + best + 1);
    if (best + 2 < size) std::copy(pairs + best + 2, pairs + size, pairs + best + 1);
    if (best > 0) look_up(best - 1);
    if (best + 1 < size) look_up(best);
  }
  return size;
}

size_t Encoder::merge_long(std::string_view word, int32_t* out) const {
  // A list of symbols linked by index, and a heap of candidate merges, lowest rank and then
  // leftmost first. A candidate is stale when its pair is no longer there.
  struct Symbol {
    int32_t id;
    size_t previous, next;
  };
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  using Candidate = std::tuple<uint32_t, size_t, int32_t, int32_t, int32_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  std::vector<Symbol> symbols(word.size());
  const auto propose = [&](size_t left) {
    if (left == kNone || symbols[left].next == kNone) return;
    const int32_t a = symbols[left].id, b = symbols[symbols[left].next].id;
    if (const Merge* found = tokenizer_.merge_of(a, b)) {
      heap.emplace(found->rank, left, a, b, found->id);
    }
  };
  for (size_t i = 0; i < word.size(); ++i) {
    symbols[i] = {tokenizer_.byte_id(static_cast<uint8_t>(word[i])), i == 0 ? kNone : i - 1,
                  i + 1 == word.size() ? kNone : i + 1};
  }
  for (size_t i = 0; i < word.size(); ++i) propose(i);
  while (!heap.empty()) {
    const auto [rank, left, a, b, merged] = heap.top();
    heap.pop();
    const size_t right = symbols[left].next;
    if (symbols[left].id != a || right == kNone || symbols[right].id != b) continue;
    symbols[left].id = merged;
    symbols[left].next = symbols[right].next;
    if (symbols[left].next != kNone) symbols[symbols[left].next].previous = left;
    symbols[right].id = -1;
    propose(symbols[left].previous);
    propose(left);
  }
  size_t size = 0;
  for (size_t i = 0; i != kNone; i = symbols[i].next) out[size++] = symbols[i].id;
  return size;
}

size_t Encoder::merge(std::string_view word, int32_t* out) const {
  return word.size() <= kShortWord ? merge_short(word, out) : merge_long(word, out);
}

void Encoder::encode_ordinary(std::string_view text, std::vector<int32_t>& ids) {
  const size_t old_size = ids.size();
  ids.resize(old_size + text.size());  // never more ids than bytes
  int32_t* out = ids.data() + old_size;
  for_each_word(text, [&](std::string_view word) {
    if (word.size() > kMaxWord) {
      out += merge(word, out);
      return;
    }
    Slot& slot = slots_[hash_of(word) >> (64 - kSlotBits)];
    if (slot.length == word.size() && std::memcmp(slot.word, word.data(), word.size()) == 0) {
      for (size_t i = 0; i < slot.num_ids; ++i) out[i] = slot.ids[i];
      out += slot.num_ids;
      return;
    }
    const size_t num_ids = merge(word, out);
    if (num_ids <= kMaxIds) {
      slot.length = static_cast<uint8_t>(word.size());
      slot.num_ids = static_cast<uint8_t>(num_ids);
      std::memcpy(slot.word, word.data(), word.size());
      std::copy(out, out + num_ids, slot.ids);
    }
    out += num_ids;
  });
  ids.resize(static_cast<size_t>(out - ids.data()));
}

void Encoder::encode(std::string_view text, std::vector<int32_t>& ids, SpecialText special) {
  size_t begin = 0;
  if (special == SpecialText::kToken) {
    const TokenizerParts& parts = tokenizer_.parts();
    // Where each special token comes next; looked up again only when passed, so time stays linear.
    std::vector<size_t> places(parts.special.size(), 0);
    for (bool first = true;; first = false) {
      size_t best = places.size();
      for (size_t i = 0; i < places.size(); ++i) {
        const std::string& content = parts.tokens[parts.special[i]];
        if (first || places[i] < begin) places[i] = text.find(content, begin);
        if (places[i] == std::string_view::npos) continue;
        // The leftmost one, of several there the longest.
        if (best == places.size() || places[i] < places[best] ||
            (places[i] == places[best] &&
             content.size() > parts.tokens[parts.special[best]].size())) {
          best = i;
        }
      }
      if (best == places.size()) break;
      encode_ordinary(text.substr(begin, places[best] - begin), ids);
      ids.push_back(parts.special[best]);
      begin = places[best] + parts.tokens[parts.special[best]].size();
    }
  }
  encode_ordinary(text.substr(begin), ids);
}

}  // namespace skarv
