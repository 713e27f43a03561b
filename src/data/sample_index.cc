#include "data/sample_index.h"

#include <algorithm>
#include <bit>

#include "base/random.h"
#include "base/text.h"

namespace skarv {

Permutation::Permutation(uint64_t key, uint64_t size) : key_(key), size_(size) {
  half_bits_ = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);
}

uint64_t Permutation::at(uint64_t index) const {
  constexpr uint64_t kRounds = 6;
  const CounterRandom random(key_, "permutation");
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  // The network permutes a square of at most 4 * size numbers; following its cycle from a number
  // in range always comes back into range, and does so after less than 4 steps on average.
  do {
    uint64_t left = index >> half_bits_, right = index & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (random.at(round << 32 | right) & mask);
      left = right;
      right = mixed;
    }
    index = left << half_bits_ | right;
  } while (index >= size_);
  return index;
}

Result<SampleIndex> SampleIndex::create(const TokenFile& tokens, uint64_t seed, int64_t sequence) {
  if (sequence <= 0) return config_error(cat("a sequence of ", sequence, " tokens"));
  const uint64_t num_tokens = tokens.num_tokens();
  if (num_tokens < 2 || (num_tokens - 1) / static_cast<uint64_t>(sequence) == 0) {
    return config_error(cat("there are ", num_tokens, " tokens, not the ", sequence,
                            " + 1 of a single sample"))
        .at(bin_path(tokens.prefix()).string())
        .with_hint("use a shorter sequence or more text");
  }
  return SampleIndex(tokens, seed, sequence, (num_tokens - 1) / static_cast<uint64_t>(sequence));
}

uint64_t SampleIndex::first_token(uint64_t counter) const {
  const uint64_t epoch = counter / num_samples_;
  const uint64_t key = CounterRandom(seed_, "epoch of samples").at(epoch);
  return Permutation(key, num_samples_).at(counter % num_samples_) *
         static_cast<uint64_t>(sequence_);
}

void SampleIndex::sample(uint64_t counter, std::span<int32_t> out) const {
  tokens_->read(first_token(counter), out);
}

}  // namespace skarv
