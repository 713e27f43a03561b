#include "wan/round/coordinator_round.h"

#include <gtest/gtest.h>

namespace skarv::wan {
namespace {

const std::string kMerger = "a", kIsland = "b";

// What mergers hold of the island in one of its lives.
Have held_in(int life, const std::vector<int>& slabs) {
  Have have{kIsland, {}};
  for (int slab : slabs) {
    Hasher hasher;
    hasher.add_number<int32_t>(life);
    hasher.add_number<int32_t>(slab);
    have.slabs.push_back({slab, hasher.finish(), 1.0, true});
  }
  return have;
}

Offer offer_of(int life, const Have& have) {
  std::vector<Digest> leaves;
  for (const SlabFacts& facts : have.slabs) leaves.push_back(facts.leaf);
  Offer offer;
  offer.contribution.island = kIsland;
  offer.contribution.generation = life;
  offer.contribution.root = merkle_root(leaves);
  return offer;
}

class CoordinatorRoundTest : public ::testing::Test {
 protected:
  CoordinatorRoundTest() : round_(table_, view_, 1) { round_.start_attempt({kMerger}); }

  const SlabTable table_{Model{64, 16, 2, 2, 2, 8, 32, 16}, 2};
  const View view_{1, {{kMerger, 1, 1}, {kIsland, 1, 1}}};
  CoordinatorRound round_;
};

TEST_F(CoordinatorRoundTest, TakesWhatWasOfferedInWhicheverOrder) {
  const Have have = held_in(1, round_.slabs());
  EXPECT_TRUE(round_.add_have(kMerger, have).ok());
  EXPECT_FALSE(round_.complete(kIsland));
  EXPECT_TRUE(round_.add_offer(offer_of(1, have)));
  EXPECT_TRUE(round_.complete(kIsland));
  EXPECT_TRUE(round_.doubtful().empty());
}

// The offer of the earlier life was lost, its bytes were not.
TEST_F(CoordinatorRoundTest, BytesOfAnEarlierLifeAreNotTakenForThoseOfTheFirstOffer) {
  const Have before = held_in(1, round_.slabs()), now = held_in(2, round_.slabs());
  EXPECT_TRUE(round_.add_have(kMerger, before).ok());
  EXPECT_TRUE(round_.add_offer(offer_of(2, now)));
  EXPECT_FALSE(round_.complete(kIsland));
  EXPECT_TRUE(round_.doubtful().contains(kIsland));  // so its mergers fetch again
  EXPECT_TRUE(round_.owes_have(kMerger));
  EXPECT_EQ(round_.add_have(kMerger, before).code(), Code::kDataLoss);
  EXPECT_TRUE(round_.add_have(kMerger, now).ok());
  EXPECT_TRUE(round_.complete(kIsland));
}

}  // namespace
}  // namespace skarv::wan
