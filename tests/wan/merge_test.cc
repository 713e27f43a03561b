#include "wan/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/random.h"

namespace skarv {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

ValueFacts norm_of(double norm) { return {norm * norm, true}; }

std::vector<Verdict> verdicts(const std::vector<Judgement>& judgements) {
  std::vector<Verdict> list;
  for (const Judgement& judgement : judgements) list.push_back(judgement.verdict);
  return list;
}

TEST(Judge, ClipsToAMultipleOfTheMedian) {
  const std::vector<ValueFacts> facts{norm_of(1), norm_of(2), norm_of(30)};
  const auto judgements = judge(facts, 3.0);
  EXPECT_THAT(verdicts(judgements),
              ElementsAre(Verdict::kIncluded, Verdict::kIncluded, Verdict::kClipped));
  EXPECT_DOUBLE_EQ(judgements[2].factor * 30, 6.0);
  EXPECT_THAT(verdicts(judge(facts, 0)),
              ElementsAre(Verdict::kIncluded, Verdict::kIncluded, Verdict::kIncluded));
}

TEST(Judge, TwoSitesGuardEachOther) {
  const std::vector<ValueFacts> facts{norm_of(100), norm_of(1)};
  const auto judgements = judge(facts, 3.0);
  EXPECT_EQ(judgements[0].verdict, Verdict::kClipped);
  EXPECT_DOUBLE_EQ(judgements[0].factor, 0.03);
  EXPECT_EQ(judgements[1].verdict, Verdict::kIncluded);
}

TEST(Judge, RejectsWhatIsNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<ValueFacts> facts{norm_of(1), {0.0, false}, {infinity, true}, norm_of(1)};
  const auto judgements = judge(facts, 3.0);
  EXPECT_THAT(verdicts(judgements), ElementsAre(Verdict::kIncluded, Verdict::kRejected,
                                                Verdict::kRejected, Verdict::kIncluded));
  EXPECT_EQ(judgements[1].factor, 0);
  EXPECT_TRUE(judge({}, 3.0).empty());
}

TEST(MergeWeights, TokensSquaredOverSteps) {
  // 2 and 1 million tokens in as many steps: 4 to 1.
  EXPECT_THAT(merge_weights(std::vector<Delivered>{{2e6, 30, 1}, {1e6, 30, 1}}),
              ElementsAre(FloatEq(0.8f), FloatEq(0.2f)));
  // A rejected one leaves its share to the others, a clipped one does not.
  EXPECT_THAT(merge_weights(std::vector<Delivered>{{1e6, 30, 1}, {1e6, 30, 0}}),
              ElementsAre(FloatEq(1.0f), FloatEq(0.0f)));
  EXPECT_THAT(merge_weights(std::vector<Delivered>{{1e6, 30, 1}, {1e6, 30, 0.5}}),
              ElementsAre(FloatEq(0.5f), FloatEq(0.25f)));
  EXPECT_THAT(merge_weights(std::vector<Delivered>{{1e6, 0, 1}}), ElementsAre(0.0f));
}

class MergeSlabTest : public testing::Test {
 protected:
  static constexpr int64_t kSize = 10000;
  const Codec& identity_ = codec_of(CodecKind::kIdentity);
  const Codec& int4_ = codec_of(CodecKind::kInt4);

  static std::vector<float> values(uint64_t seed) {
    const CounterRandom random(seed, "merge");
    std::vector<float> list(kSize);
    for (size_t i = 0; i < list.size(); ++i) list[i] = random.normal(i);
    return list;
  }
  static std::vector<std::byte> encode(const Codec& codec, const std::vector<float>& list) {
    std::vector<std::byte> bytes(static_cast<size_t>(codec.encoded_bytes(kSize)));
    EXPECT_TRUE(codec.encode(list, bytes).ok());
    return bytes;
  }
};

TEST_F(MergeSlabTest, IsTheWeightedSum) {
  const std::vector<float> a = values(1), b = values(2);
  const auto bytes_a = encode(identity_, a), bytes_b = encode(identity_, b);
  const MergeInput inputs[] = {{bytes_a, 0.75f}, {bytes_b, 0.25f}};
  std::vector<std::byte> payload(4 * kSize);
  const auto facts = merge_slab(identity_, identity_, kSize, inputs, {}, 1, payload, {});
  ASSERT_TRUE(facts.ok()) << facts.status();
  std::vector<float> merged(kSize);
  ASSERT_TRUE(identity_.decode(payload, merged).ok());
  for (size_t i = 0; i < merged.size(); ++i) {
    ASSERT_NEAR(merged[i], 0.75f * a[i] + 0.25f * b[i], 1e-6);
  }
  EXPECT_NEAR(facts->sum_of_squares, facts_of(merged).sum_of_squares, 1e-3);
}

TEST_F(MergeSlabTest, MergersResidualCarriesTheRest) {
  const auto bytes = encode(int4_, values(3));
  const MergeInput inputs[] = {{bytes, 0.3f}};
  std::vector<float> decoded(kSize), e(kSize, 0.125f), next(kSize), merged(kSize);
  ASSERT_TRUE(int4_.decode(bytes, decoded).ok());
  std::vector<std::byte> payload(static_cast<size_t>(int4_.encoded_bytes(kSize)));
  ASSERT_TRUE(merge_slab(int4_, int4_, kSize, inputs, e, 0.5f, payload, next).ok());
  ASSERT_TRUE(int4_.decode(payload, merged).ok());
  for (size_t i = 0; i < merged.size(); ++i) {
    ASSERT_NEAR(merged[i] + next[i], 0.3f * decoded[i] + 0.0625f, 1e-6);
  }
}

TEST_F(MergeSlabTest, FactsOfAPayload) {
  const std::vector<float> list = values(4);
  const auto facts = payload_facts(identity_, encode(identity_, list), kSize);
  ASSERT_TRUE(facts.ok());
  EXPECT_NEAR(facts->sum_of_squares, facts_of(list).sum_of_squares, 1e-6);
  EXPECT_EQ(payload_facts(int4_, std::vector<std::byte>(7), kSize).status().code(),
            Code::kDataLoss);
}

TEST_F(MergeSlabTest, NamesTheBadContribution) {
  const auto good = encode(int4_, values(5));
  auto bad = good;
  bad[34 * 100] = std::byte{0x80};  // scale infinity
  bad[34 * 100 + 1] = std::byte{0x7F};
  std::vector<std::byte> payload(static_cast<size_t>(int4_.encoded_bytes(kSize)));
  const MergeInput inputs[] = {{good, 0.5f}, {bad, 0.5f}};
  const Status status = merge_slab(int4_, int4_, kSize, inputs, {}, 1, payload, {}).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find("contribution 1"), std::string::npos) << status;
  // Left out by weight: not even decoded.
  const MergeInput without[] = {{good, 1.0f}, {bad, 0.0f}};
  EXPECT_TRUE(merge_slab(int4_, int4_, kSize, without, {}, 1, payload, {}).ok());
  const MergeInput short_one[] = {{std::span(good).first(10), 1.0f}};
  EXPECT_EQ(merge_slab(int4_, int4_, kSize, short_one, {}, 1, payload, {}).status().code(),
            Code::kDataLoss);
  EXPECT_EQ(merge_slab(int4_, int4_, kSize, {}, {}, 1, payload, {}).status().code(),
            Code::kInvalidArgument);
}

TEST_F(MergeSlabTest, OverflowIsRefused) {
  const auto huge = encode(identity_, std::vector<float>(kSize, 3e38f));
  const MergeInput inputs[] = {{huge, 1.0f}, {huge, 1.0f}};
  std::vector<std::byte> payload(4 * kSize);
  EXPECT_EQ(merge_slab(identity_, identity_, kSize, inputs, {}, 1, payload, {}).status().code(),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace skarv
