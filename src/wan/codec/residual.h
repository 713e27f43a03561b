// What a lossy codec left out is sent later: payload = encode(x), x = values - minus + decay e, and
// the next residual is e' = x - decode(payload). Whether e' replaces e is decided by the record
// (protocol.md, rule 8), not here.
#pragma once

#include <cstddef>
#include <span>

#include "base/status.h"
#include "wan/codec/codec.h"

namespace skarv {

// Sum of squares and finiteness of some values: what the gate looks at.
struct ValueFacts {
  double sum_of_squares = 0;
  bool finite = true;
  void add(const ValueFacts& other) {
    sum_of_squares += other.sum_of_squares;
    finite = finite && other.finite;
  }
};
ValueFacts facts_of(std::span<const float> values);

struct ResidualSource {
  std::span<const float> values;
  std::span<const float> minus;     // empty: nothing is subtracted
  std::span<const float> residual;  // e; empty: zero
  float decay = 1.0f;
};

// Encodes piece by piece, without a copy of the whole. `payload` has codec.encoded_bytes(n) bytes;
// `next_residual` has n values, or none when nobody wants it, and must not overlap the source.
// Returns the facts of x. Errors: those of Codec::encode; then both outputs hold nothing of use.
Result<ValueFacts> encode_with_residual(const Codec& codec, const ResidualSource& source,
                                        std::span<std::byte> payload,
                                        std::span<float> next_residual);

}  // namespace skarv
