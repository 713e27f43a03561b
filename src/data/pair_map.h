// A hash map from a pair of token ids to a small value: open addressing, no removal. The lookups of
// BPE are nearly all of its time, and std::unordered_map takes about four times as long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace skarv {

inline uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Not thread-safe while it is changed; `find` is const. Pointers hold until the next insertion.
template <typename Value>
class PairMap {
 public:
  // REQUIRES: ids are not negative, so that no key is ~0.
  Value* find(uint64_t key) { return const_cast<Value*>(std::as_const(*this).find(key)); }
  const Value* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    for (size_t i = place(key);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return &slots_[i].value;
      if (slots_[i].key == kEmpty) return nullptr;
    }
  }

  // The value of `key`, made from Value() when it was absent.
  Value& operator[](uint64_t key) {
    if (size_ * 2 >= slots_.size()) grow();
    size_t i = place(key);
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & (slots_.size() - 1);
    if (slots_[i].key == kEmpty) {
      slots_[i].key = key;
      ++size_;
    }
    return slots_[i].value;
  }

  size_t size() const { return size_; }

  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kEmpty) visit(slot.key, slot.value);
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };

  size_t place(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_);
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.empty() ? 256 : old.size() * 2, Slot());
    shift_ = old.empty() ? 56 : shift_ - 1;
    for (Slot& slot : old) {
      if (slot.key == kEmpty) continue;
      size_t i = place(slot.key);
      while (slots_[i].key != kEmpty) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = std::move(slot);
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
  int shift_ = 64;
};

}  // namespace skarv
