#include "wan/codec/residual.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "base/text.h"
#include "wan/arithmetic.h"

namespace skarv {

namespace {

constexpr size_t kPiece = 4096;  // a multiple of every codec's block

void add_up(const ResidualSource& source, size_t begin, std::span<float> out) {
  const float* values = source.values.data() + begin;
  if (source.minus.empty()) {
    std::copy_n(values, out.size(), out.data());
  } else {
    const float* minus = source.minus.data() + begin;
    for (size_t i = 0; i < out.size(); ++i) out[i] = values[i] - minus[i];
  }
  if (!source.residual.empty()) {
    const float* residual = source.residual.data() + begin;
    for (size_t i = 0; i < out.size(); ++i) out[i] += source.decay * residual[i];
  }
}

}  // namespace

ValueFacts facts_of(std::span<const float> values) {
  ValueFacts facts;
  facts.finite = arithmetic::all_finite(values);
  std::array<double, 8> sums{};  // independent chains, for speed
  size_t i = 0;
  for (; i + sums.size() <= values.size(); i += sums.size()) {
    for (size_t j = 0; j < sums.size(); ++j) {
      const double value = values[i + j];
      sums[j] += value * value;
    }
  }
  for (; i < values.size(); ++i) sums[0] += double{values[i]} * values[i];
  for (const double sum : sums) facts.sum_of_squares += sum;
  return facts;
}

Result<ValueFacts> encode_with_residual(const Codec& codec, const ResidualSource& source,
                                        std::span<std::byte> payload,
                                        std::span<float> next_residual) {
  const size_t size = source.values.size();
  if (static_cast<int64_t>(payload.size()) != codec.encoded_bytes(static_cast<int64_t>(size)) ||
      (!source.minus.empty() && source.minus.size() != size) ||
      (!source.residual.empty() && source.residual.size() != size) ||
      (!next_residual.empty() && next_residual.size() != size)) {
    return bug("encode_with_residual: sizes do not fit together");
  }
  ValueFacts facts;
  std::array<float, kPiece> values, decoded;
  for (size_t begin = 0; begin < size; begin += kPiece) {
    const size_t count = std::min(kPiece, size - begin);
    const std::span<float> piece(values.data(), count);
    add_up(source, begin, piece);
    facts.add(facts_of(piece));
    const auto num_bytes = static_cast<size_t>(codec.encoded_bytes(static_cast<int64_t>(count)));
    const std::span<std::byte> bytes = payload.first(num_bytes);
    if (Status status = codec.encode(piece, bytes); !status.ok()) {
      return status.wrap(cat("in the values from ", begin, " on"));
    }
    payload = payload.subspan(num_bytes);
    if (next_residual.empty()) continue;
    const std::span<float> back(decoded.data(), count);
    SKARV_TRY(codec.decode(bytes, back));
    for (size_t i = 0; i < count; ++i) next_residual[begin + i] = piece[i] - back[i];
  }
  return facts;
}

}  // namespace skarv
