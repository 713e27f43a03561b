#include "wan/codec/int4.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/text.h"

namespace skarv {

namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kBlockBytes = 2 + kBlock / 2;
constexpr uint8_t kZeroPair = 0x88;

// Magnitudes from here on are refused, below the other they count as zero.
constexpr float kTooLarge = 0x1p120f, kTooSmall = 0x1p-100f;
// Scales that the encoder can produce from what lies between.
constexpr float kLargestScale = 0x1p118f, kSmallestScale = 0x1p-104f;

uint32_t magnitude_bits(float value) { return std::bit_cast<uint32_t>(value) & 0x7FFFFFFF; }

struct Extremes {
  float low, high;   // 0 included
  uint32_t largest;  // magnitude, as bits: also orders infinities and NaN above all numbers
};

template <typename Count>
Extremes extremes_of(const float* values, Count count) {
  Extremes found{0, 0, 0};
  for (int64_t i = 0; i < count; ++i) {
    found.low = values[i] < found.low ? values[i] : found.low;
    found.high = values[i] > found.high ? values[i] : found.high;
    found.largest = std::max(found.largest, magnitude_bits(values[i]));
  }
  return found;
}

// Upper half of the smallest bf16 not below a positive float.
uint16_t round_up_to_bf16(float value) {
  return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0xFFFF) >> 16);
}
float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// The scale of a block, as bf16 with its sign. 8.5 and 7.5: values half a level beyond the
// outermost levels still round to them.
uint16_t scale_of(const Extremes& extremes) {
  const float larger = std::max(extremes.high, -extremes.low);
  if (larger < kTooSmall) return 0;
  const float smaller = std::min(extremes.high, -extremes.low);
  const uint16_t magnitude = round_up_to_bf16(std::max(larger / 8.5f, smaller / 7.5f));
  const bool positive_is_larger = extremes.high >= -extremes.low;
  return static_cast<uint16_t>(magnitude | (positive_is_larger ? 0x8000 : 0));
}

uint8_t code_of(float value, float inverse) {
  const float shifted = value * inverse + 8.5f;
  return static_cast<uint8_t>(static_cast<int32_t>(std::min(std::max(shifted, 0.0f), 15.5f)));
}

// `Count` is either a number or std::integral_constant, which lets the compiler unroll whole
// blocks.
template <typename Count>
void encode_block(const float* values, Count count, uint16_t scale, uint8_t* out) {
  const int64_t num_pairs = (count + 1) / 2;
  out[0] = static_cast<uint8_t>(scale & 0xFF);
  out[1] = static_cast<uint8_t>(scale >> 8);
  if (scale == 0) {
    std::fill_n(out + 2, num_pairs, kZeroPair);
    return;
  }
  const float inverse = 1.0f / from_bf16(scale);
  std::array<uint8_t, kBlock> codes;
  codes.fill(8);
  for (int64_t i = 0; i < count; ++i) codes[i] = code_of(values[i], inverse);
  for (int64_t i = 0; i < num_pairs; ++i) {
    out[2 + i] = static_cast<uint8_t>(codes[i] | codes[num_pairs + i] << 4);
  }
}

template <typename Count>
void decode_block(const uint8_t* bytes, Count count, float scale, float* out) {
  const int64_t num_pairs = (count + 1) / 2, num_high = count / 2;
  for (int64_t i = 0; i < num_pairs; ++i) {
    out[i] = static_cast<float>((bytes[2 + i] & 15) - 8) * scale;
  }
  for (int64_t i = 0; i < num_high; ++i) {
    out[num_pairs + i] = static_cast<float>((bytes[2 + i] >> 4) - 8) * scale;
  }
}

using WholeBlock = std::integral_constant<int64_t, kBlock>;

class Int4Codec final : public Codec {
 public:
  CodecKind kind() const override { return CodecKind::kInt4; }
  uint32_t version() const override { return 1; }
  bool lossless() const override { return false; }
  int64_t block() const override { return kBlock; }
  int64_t encoded_bytes(int64_t num_values) const override {
    const int64_t rest = num_values % kBlock;
    return num_values / kBlock * kBlockBytes + (rest > 0 ? 2 + (rest + 1) / 2 : 0);
  }
  double bits_per_parameter() const override { return 8.0 * kBlockBytes / kBlock; }
  // Half a level of at most 1 / 7.5 of the block's largest magnitude, the scale rounded up by at
  // most 2^-7, and a little for the encoder's own rounding.
  double relative_error() const override { return 0.0673; }
  double absolute_error() const override { return kTooSmall; }

  Status encode(std::span<const float> values, std::span<std::byte> out) const override;
  Status decode(std::span<const std::byte> bytes, std::span<float> out) const override;

 private:
  template <typename Count>
  static Status encode_checked(const float* values, Count count, int64_t begin, uint8_t* out);
  template <typename Count>
  static Status decode_checked(const uint8_t* bytes, Count count, int64_t begin, float* out);
};

template <typename Count>
Status Int4Codec::encode_checked(const float* values, Count count, int64_t begin, uint8_t* out) {
  const Extremes extremes = extremes_of(values, count);
  if (extremes.largest >= magnitude_bits(kTooLarge)) {
    int64_t index = 0;
    while (magnitude_bits(values[index]) < magnitude_bits(kTooLarge)) ++index;
    return Status(Code::kInvalidArgument, Scope::kSite,
                  cat("value ", begin + index, " is ", values[index],
                      ": int4 carries finite values below 2^120"));
  }
  encode_block(values, count, scale_of(extremes), out);
  return Status();
}

template <typename Count>
Status Int4Codec::decode_checked(const uint8_t* bytes, Count count, int64_t begin, float* out) {
  const uint16_t bits = static_cast<uint16_t>(bytes[0] | bytes[1] << 8);
  const float scale = from_bf16(bits);
  const uint32_t magnitude = magnitude_bits(scale);
  const int64_t num_pairs = (count + 1) / 2;
  const char* fault = nullptr;
  if (bits == 0) {
    if (!std::all_of(bytes + 2, bytes + 2 + num_pairs, [](uint8_t b) { return b == kZeroPair; })) {
      fault = "levels in a block of scale zero";
    }
  } else if (magnitude < magnitude_bits(kSmallestScale) ||
             magnitude > magnitude_bits(kLargestScale)) {
    fault = "a scale that no encoder writes";
  } else if (count % 2 == 1 && bytes[2 + num_pairs - 1] >> 4 != 8) {
    fault = "a level where padding belongs";
  }
  if (fault != nullptr) {
    return Status(Code::kDataLoss, Scope::kPeer,
                  cat("int4 payload with ", fault, ", in the block at value ", begin));
  }
  decode_block(bytes, count, scale, out);
  return Status();
}

Status Int4Codec::encode(std::span<const float> values, std::span<std::byte> out) const {
  const auto size = static_cast<int64_t>(values.size());
  if (static_cast<int64_t>(out.size()) != encoded_bytes(size)) {
    return bug("int4 codec: wrong size of the output");
  }
  auto* bytes = reinterpret_cast<uint8_t*>(out.data());
  int64_t begin = 0;
  for (; begin + kBlock <= size; begin += kBlock, bytes += kBlockBytes) {
    SKARV_TRY(encode_checked(values.data() + begin, WholeBlock(), begin, bytes));
  }
  if (begin == size) return Status();
  return encode_checked(values.data() + begin, size - begin, begin, bytes);
}

Status Int4Codec::decode(std::span<const std::byte> in, std::span<float> out) const {
  const auto size = static_cast<int64_t>(out.size());
  if (static_cast<int64_t>(in.size()) != encoded_bytes(size)) {
    return Status(Code::kDataLoss, Scope::kPeer,
                  cat("int4 payload of ", in.size(), " bytes for ", size, " values, which take ",
                      encoded_bytes(size)));
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(in.data());
  int64_t begin = 0;
  for (; begin + kBlock <= size; begin += kBlock, bytes += kBlockBytes) {
    SKARV_TRY(decode_checked(bytes, WholeBlock(), begin, out.data() + begin));
  }
  if (begin == size) return Status();
  return decode_checked(bytes, size - begin, begin, out.data() + begin);
}

}  // namespace

const Codec& int4_codec() {
  static const Int4Codec codec;
  return codec;
}

}  // namespace skarv
