#include <algorithm>
#include <cstring>

#include "data/trainer.h"
#include "data/words.h"

namespace skarv {
namespace {

uint64_t hash_of(std::string_view word) {
  uint64_t hash = word.size() * 0x9E3779B97F4A7C15;
  while (!word.empty()) {
    uint64_t part = 0;
    const size_t count = std::min<size_t>(8, word.size());
    std::memcpy(&part, word.data(), count);
    word.remove_prefix(count);
    hash = (hash ^ part) * 0xD6E8FEB86659FD93;
    hash ^= hash >> 32;
  }
  return hash * 0x9E3779B97F4A7C15;
}

constexpr uint64_t kUpper = 0xFFFFFFFF00000000;

}  // namespace

void WordCounter::add(std::string_view text) {
  for_each_word(text, [this](std::string_view word) { count_word(word); });
}

void WordCounter::count_word(std::string_view text) {
  if (counts_.size() * 2 >= slots_.size()) grow();
  const uint64_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  for (; slots_[i] != 0; i = (i + 1) & mask) {
    if ((slots_[i] ^ hash) & kUpper) continue;
    const size_t index = static_cast<uint32_t>(slots_[i]) - 1;
    if (word(index) == text) {
      ++counts_[index];
      return;
    }
  }
  bytes_.append(text);
  begins_.push_back(bytes_.size());
  counts_.push_back(1);
  slots_[i] = (hash & kUpper) | counts_.size();
}

void WordCounter::grow() {
  std::vector<uint64_t> slots(slots_.empty() ? 1024 : slots_.size() * 2, 0);
  const size_t mask = slots.size() - 1;
  for (size_t index = 0; index < counts_.size(); ++index) {
    const uint64_t hash = hash_of(word(index));
    size_t i = hash & mask;
    while (slots[i] != 0) i = (i + 1) & mask;
    slots[i] = (hash & kUpper) | (index + 1);
  }
  slots_ = std::move(slots);
}

}  // namespace skarv
