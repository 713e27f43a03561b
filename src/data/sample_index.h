// Which tokens sample i consists of: a pure function of (seed, i), so any worker of any site finds
// its samples by itself, in any order, and a restarted run finds the same ones.
//
// The row of all tokens is cut into samples of `sequence` steps; neighbours share one token, so
// each token but the first is a target once. The last incomplete piece is left out. An epoch visits
// each sample once, in an order of its own: a keyed permutation (a Feistel network over the
// counter-based random numbers, walked until it falls into range), so there is no table to keep or
// to send.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "data/token_file.h"

namespace skarv {

// A permutation of [0, size), keyed. Integer arithmetic only: the same on every machine.
class Permutation {
 public:
  // REQUIRES: 1 <= size <= 2^62.
  Permutation(uint64_t key, uint64_t size);
  uint64_t at(uint64_t index) const;  // REQUIRES: index < size.

 private:
  uint64_t key_, size_;
  int half_bits_;
};

// Immutable and thread-safe. `tokens` must outlive it.
class SampleIndex {
 public:
  // Errors: kInvalidArgument when `sequence` is not positive or there are not sequence + 1 tokens.
  static Result<SampleIndex> create(const TokenFile& tokens, uint64_t seed, int64_t sequence);

  uint64_t num_samples_per_epoch() const { return num_samples_; }
  int64_t sequence() const { return sequence_; }
  // Where sample `counter` begins in the row of tokens. Counters go on through the epochs.
  uint64_t first_token(uint64_t counter) const;
  // The sequence + 1 tokens of sample `counter`. REQUIRES: out.size() == sequence + 1.
  void sample(uint64_t counter, std::span<int32_t> out) const;

 private:
  SampleIndex(const TokenFile& tokens, uint64_t seed, int64_t sequence, uint64_t num_samples)
      : tokens_(&tokens), seed_(seed), sequence_(sequence), num_samples_(num_samples) {}

  const TokenFile* tokens_;
  uint64_t seed_;
  int64_t sequence_;
  uint64_t num_samples_;
};

}  // namespace skarv
