#include "wan/codec/residual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace skarv {
namespace {

std::vector<float> normals(uint64_t seed, size_t size) {
  const CounterRandom random(seed, "residual");
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = random.normal(i);
  return values;
}

TEST(Residual, PayloadPlusResidualIsTheSource) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  const size_t size = 4096 * 2 + 100;
  const std::vector<float> w = normals(1, size), s = normals(2, size), e = normals(3, size);
  std::vector<std::byte> payload(static_cast<size_t>(codec.encoded_bytes(size)));
  std::vector<float> next(size), decoded(size);
  const auto facts = encode_with_residual(
      codec, {.values = w, .minus = s, .residual = e, .decay = 0.5f}, payload, next);
  ASSERT_TRUE(facts.ok()) << facts.status();
  ASSERT_TRUE(codec.decode(payload, decoded).ok());
  double sum = 0;
  for (size_t i = 0; i < size; ++i) {
    const float x = w[i] - s[i] + 0.5f * e[i];
    EXPECT_NEAR(decoded[i] + next[i], x, 1e-5);
    sum += double{x} * x;
  }
  EXPECT_NEAR(facts->sum_of_squares, sum, 1e-6 * sum);
  EXPECT_TRUE(facts->finite);
}

// Error feedback: what is sent in many rounds adds up to what was meant, within one round's error.
TEST(Residual, NothingIsLostOverManyRounds) {
  const Codec& codec = codec_of(CodecKind::kInt4);
  const size_t size = 256;
  std::vector<float> e(size, 0.0f), next(size), decoded(size), none;
  std::vector<double> meant(size, 0.0), sent(size, 0.0);
  std::vector<std::byte> payload(static_cast<size_t>(codec.encoded_bytes(size)));
  for (uint64_t round = 0; round < 50; ++round) {
    const std::vector<float> delta = normals(100 + round, size);
    ASSERT_TRUE(
        encode_with_residual(codec, {.values = delta, .minus = {}, .residual = e}, payload, next)
            .ok());
    ASSERT_TRUE(codec.decode(payload, decoded).ok());
    for (size_t i = 0; i < size; ++i) {
      meant[i] += delta[i];
      sent[i] += decoded[i];
    }
    std::swap(e, next);
  }
  for (size_t i = 0; i < size; ++i) EXPECT_NEAR(meant[i], sent[i], 0.5);
}

TEST(Residual, NotFiniteIsRefusedWithItsPlace) {
  const Codec& codec = codec_of(CodecKind::kIdentity);
  std::vector<float> values(5000, 1.0f);
  values[4999] = std::numeric_limits<float>::infinity();
  std::vector<std::byte> payload(20000);
  const auto facts =
      encode_with_residual(codec, {.values = values, .minus = {}, .residual = {}}, payload, {});
  EXPECT_EQ(facts.status().code(), Code::kInvalidArgument);
  EXPECT_NE(facts.status().message().find("4096"), std::string::npos) << facts.status();
}

TEST(Residual, SizesAreChecked) {
  const Codec& codec = codec_of(CodecKind::kIdentity);
  const std::vector<float> values(8), other(7);
  std::vector<std::byte> payload(32);
  std::vector<float> next(7);
  EXPECT_FALSE(
      encode_with_residual(codec, {.values = values, .minus = other, .residual = {}}, payload, {})
          .ok());
  EXPECT_FALSE(
      encode_with_residual(codec, {.values = values, .minus = {}, .residual = other}, payload, {})
          .ok());
  EXPECT_FALSE(
      encode_with_residual(codec, {.values = values, .minus = {}, .residual = {}}, payload, next)
          .ok());
  EXPECT_FALSE(encode_with_residual(codec, {.values = values, .minus = {}, .residual = {}},
                                    std::span(payload).first(31), {})
                   .ok());
}

TEST(Residual, FactsSeeNaN) {
  std::vector<float> values(100, 2.0f);
  EXPECT_DOUBLE_EQ(facts_of(values).sum_of_squares, 400.0);
  values[99] = std::nanf("");
  EXPECT_FALSE(facts_of(values).finite);
}

}  // namespace
}  // namespace skarv
