#include "wan/codec/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/digest.h"
#include "base/random.h"

namespace skarv {
namespace {

constexpr CodecKind kKinds[] = {CodecKind::kIdentity, CodecKind::kInt4};

std::vector<float> normals(uint64_t seed, size_t size, float scale = 1.0f) {
  const CounterRandom random(seed, "codec");
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = random.normal(i) * scale;
  return values;
}

std::vector<std::byte> encode(const Codec& codec, std::span<const float> values) {
  std::vector<std::byte> bytes(static_cast<size_t>(codec.encoded_bytes(values.size())));
  const Status status = codec.encode(values, bytes);
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

std::vector<float> decode(const Codec& codec, std::span<const std::byte> bytes, size_t size) {
  std::vector<float> values(size);
  const Status status = codec.decode(bytes, values);
  EXPECT_TRUE(status.ok()) << status;
  return values;
}

TEST(Codec, RegistryKnowsEveryKind) {
  for (const CodecKind kind : kKinds) {
    EXPECT_EQ(codec_of(kind).kind(), kind);
    ASSERT_TRUE(find_codec(name_of(kind)).ok());
    EXPECT_EQ(*find_codec(name_of(kind)), &codec_of(kind));
  }
  const Status status = find_codec("itn4").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.hint().find("int4"), std::string::npos) << status;
}

TEST(Codec, ErrorStaysWithinTheStatedBound) {
  for (const CodecKind kind : kKinds) {
    const Codec& codec = codec_of(kind);
    for (const size_t size : {0u, 1u, 2u, 63u, 64u, 65u, 127u, 4096u, 5001u}) {
      for (const float scale : {1.0f, 1e-30f, 1e-36f, 1e30f, 3.0f}) {
        std::vector<float> values = normals(size, size, scale);
        if (size > 100) {
          std::fill(values.begin(), values.begin() + 64, 0.0f);                 // a block of zeros
          for (size_t i = 64; i < 96; ++i) values[i] = i % 2 ? scale : -scale;  // both ends
        }
        const std::vector<float> back = decode(codec, encode(codec, values), size);
        const auto block = static_cast<size_t>(codec.block());
        for (size_t begin = 0; begin < size; begin += block) {
          const size_t end = std::min(begin + block, size);
          double largest = 0;
          for (size_t i = begin; i < end; ++i)
            largest = std::max(largest, std::fabs(double{values[i]}));
          const double bound = codec.relative_error() * largest + codec.absolute_error();
          for (size_t i = begin; i < end; ++i) {
            ASSERT_LE(std::fabs(double{values[i]} - back[i]), bound)
                << name_of(kind) << " value " << i << " of " << size << " scale " << scale;
          }
        }
      }
    }
  }
}

TEST(Codec, SizeIsAsStated) {
  for (const CodecKind kind : kKinds) {
    const Codec& codec = codec_of(kind);
    EXPECT_EQ(codec.encoded_bytes(0), 0);
    EXPECT_DOUBLE_EQ(static_cast<double>(codec.encoded_bytes(1 << 20)) * 8 / (1 << 20),
                     codec.bits_per_parameter());
    // Pieces in multiples of the block are the whole.
    const std::vector<float> values = normals(3, 4096 + 77);
    std::vector<std::byte> pieces = encode(codec, std::span(values).first(4096));
    const std::vector<std::byte> rest = encode(codec, std::span(values).subspan(4096));
    pieces.insert(pieces.end(), rest.begin(), rest.end());
    EXPECT_EQ(pieces, encode(codec, values));
  }
}

TEST(Codec, RefusesValuesThatAreNotFinite) {
  for (const CodecKind kind : kKinds) {
    const Codec& codec = codec_of(kind);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      for (const size_t where : {0u, 70u, 130u}) {
        std::vector<float> values = normals(4, 131);
        values[where] = bad;
        std::vector<std::byte> bytes(static_cast<size_t>(codec.encoded_bytes(131)));
        const Status status = codec.encode(values, bytes);
        EXPECT_EQ(status.code(), Code::kInvalidArgument);
        EXPECT_NE(status.message().find("value " + std::to_string(where)), std::string::npos)
            << status;
      }
    }
  }
}

TEST(Codec, RefusesWrongLength) {
  for (const CodecKind kind : kKinds) {
    const Codec& codec = codec_of(kind);
    std::vector<float> out(100);
    for (const int64_t size :
         {int64_t{0}, codec.encoded_bytes(100) - 1, codec.encoded_bytes(100) + 1}) {
      const Status status = codec.decode(std::vector<std::byte>(static_cast<size_t>(size)), out);
      EXPECT_EQ(status.code(), Code::kDataLoss) << size;
    }
  }
}

TEST(Codec, IdentityIsLittleEndianFp32) {
  const std::vector<std::byte> bytes = encode(codec_of(CodecKind::kIdentity), std::vector{1.5f});
  EXPECT_EQ(bytes,
            (std::vector<std::byte>{std::byte{0}, std::byte{0}, std::byte{0xC0}, std::byte{0x3F}}));
  std::vector<float> out(1);
  const std::vector<std::byte> infinite{std::byte{0}, std::byte{0}, std::byte{0x80},
                                        std::byte{0x7F}};
  EXPECT_EQ(codec_of(CodecKind::kIdentity).decode(infinite, out).code(), Code::kDataLoss);
}

struct BadBlock {
  const char* what;
  uint16_t scale;
  uint8_t pair;
};

TEST(Int4, RefusesScalesAndPaddingThatNoEncoderWrites) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  const BadBlock cases[] = {
      {"infinity", 0x7F80, 0x88},   {"minus infinity", 0xFF80, 0x88},
      {"NaN", 0x7FC1, 0x88},        {"subnormal", 0x0001, 0x88},
      {"too large", 0x7F00, 0x88},  {"too small", 0x0080, 0x88},
      {"minus zero", 0x8000, 0x88}, {"levels under scale zero", 0, 0x98},
  };
  for (const BadBlock& bad : cases) {
    std::vector<std::byte> bytes(34, std::byte{bad.pair});
    bytes[0] = static_cast<std::byte>(bad.scale & 0xFF);
    bytes[1] = static_cast<std::byte>(bad.scale >> 8);
    std::vector<float> out(64);
    EXPECT_EQ(codec.decode(bytes, out).code(), Code::kDataLoss) << bad.what;
  }
  // Three values: two bytes of pairs, the last high half is padding.
  std::vector<std::byte> odd = encode(codec, std::vector{1.0f, 2.0f, 3.0f});
  ASSERT_EQ(odd.size(), 4u);
  odd[3] ^= std::byte{0x10};
  std::vector<float> out(3);
  EXPECT_EQ(codec.decode(odd, out).code(), Code::kDataLoss);
}

// Any bytes: either refused or finite, never a crash (run under the sanitizers).
TEST(Int4, AnyBytesAreRefusedOrFinite) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  const CounterRandom random(11, "bytes");
  int num_accepted = 0;
  for (uint64_t trial = 0; trial < 3000; ++trial) {
    const size_t size = random.below(trial, 150);
    std::vector<std::byte> bytes(static_cast<size_t>(codec.encoded_bytes(size)));
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(random.at(trial * 1000 + i));
    }
    std::vector<float> out(size);
    if (!codec.decode(bytes, out).ok()) continue;
    ++num_accepted;
    for (const float value : out) ASSERT_TRUE(std::isfinite(value));
  }
  EXPECT_GT(num_accepted, 100);
}

TEST(Int4, UsesBothEnds) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  std::vector<float> values(64, 0.0f);
  values[5] = -8.5f;  // larger side: level -8 with scale 1
  values[6] = 7.5f;   // level 7
  values[7] = 2.2f;
  const std::vector<float> back = decode(codec, encode(codec, values), 64);
  EXPECT_EQ(back[5], -8.0f);
  EXPECT_EQ(back[6], 7.0f);
  EXPECT_EQ(back[7], 2.0f);
  EXPECT_EQ(back[0], 0.0f);
  for (float& value : values) value = -value;
  const std::vector<float> mirrored = decode(codec, encode(codec, values), 64);
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(mirrored[i], -back[i]);
}

// The form on the wire and its meaning, for every compiler and processor.
TEST(Int4, GoldenDigests) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  // The encoded bytes are made by integers alone, so that only decoding is judged.
  const CounterRandom random(12, "golden");
  std::vector<std::byte> bytes(static_cast<size_t>(codec.encoded_bytes(6400)));
  for (size_t block = 0; block < 100; ++block) {
    std::byte* begin = bytes.data() + block * 34;
    const auto scale =
        static_cast<uint16_t>(0x2000 + random.below(block, 0x4000) + (block % 2 ? 0x8000 : 0));
    begin[0] = static_cast<std::byte>(scale & 0xFF);
    begin[1] = static_cast<std::byte>(scale >> 8);
    for (size_t i = 0; i < 32; ++i)
      begin[2 + i] = static_cast<std::byte>(random.at(block * 100 + i));
  }
  const std::vector<float> values = decode(codec, bytes, 6400);
  EXPECT_EQ(digest_of(std::as_bytes(std::span(values))).short_hex(), "ec9a49212d3b");
}

}  // namespace
}  // namespace skarv
