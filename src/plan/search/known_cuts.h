// Cuts that were made before (cuts.h): a search asks for each of them about ten times.
// One thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

namespace skarv {

class KnownCuts {
 public:
  struct End {
    int last = 0;  // one past the stage's last layer
    bool recompute = false;
  };
  using Cut = std::vector<End>;  // by stage; empty: there is none

  // By all that it follows from. Null: not known.
  const Cut* find(const std::string& key) const {
    const auto known = cuts_.find(key);
    return known == cuts_.end() ? nullptr : &known->second;
  }
  // Forgets everything when that is some 50 MB.
  void add(std::string key, Cut cut) {
    if (num_bytes_ > kMostBytes) {
      cuts_.clear();
      num_bytes_ = 0;
    }
    num_bytes_ += key.size() + cut.size() * sizeof(End);
    cuts_.emplace(std::move(key), std::move(cut));
  }

 private:
  static constexpr size_t kMostBytes = 50'000'000;

  std::unordered_map<std::string, Cut> cuts_;
  size_t num_bytes_ = 0;
};

}  // namespace skarv
