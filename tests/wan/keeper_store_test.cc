#include "wan/keeper_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/random.h"
#include "support/small_model.h"
#include "wan/merger_store.h"
#include "wan/payload.h"

namespace skarv {
namespace {

using arithmetic::bits_of;

const OuterScalars kNesterov = arithmetic::NesterovScalars{bits_of(0.5f), bits_of(0.5f)};

// One island whose contribution is the whole merge, at two fragments.
class KeeperStoreTest : public testing::Test {
 protected:
  const SlabTable table_{small_model(), 2};
  KeeperSettings settings_ = all_slabs(CodecKind::kInt4, false);
  MergerStore merger_{table_, CodecKind::kInt4, CodecKind::kInt4, 1.0f};

  KeeperSettings all_slabs(CodecKind codec, bool exact) const {
    KeeperSettings settings{.slabs = {}, .upload = codec, .download = codec, .exact = exact};
    for (int slab = 0; slab < table_.size(); ++slab) settings.slabs.push_back(slab);
    return settings;
  }
  std::vector<float> values(int slab, uint64_t seed, float scale = 1.0f) const {
    const CounterRandom random(seed, table_.name_of(slab));
    std::vector<float> list(static_cast<size_t>(table_[slab].size()));
    for (size_t i = 0; i < list.size(); ++i) list[i] = random.normal(i) * scale;
    return list;
  }
  KeeperStore fresh(const KeeperSettings& settings) const {
    auto memory = KeeperMemory::allocate(table_, settings);
    EXPECT_TRUE(memory.ok()) << memory.status();
    KeeperStore store(table_, std::move(memory).value());
    for (const int slab : settings.slabs) {
      EXPECT_TRUE(store.initialize(slab, values(slab, 1)).ok());
    }
    return store;
  }
  KeeperStore fresh() const { return fresh(settings_); }

  // w minus something small that depends on the round.
  std::vector<float> snapshot(const KeeperStore& store, int slab, int64_t round) const {
    std::vector<float> s = values(slab, 100 + static_cast<uint64_t>(round), 0.01f);
    const std::span<const float> w = store.state(slab).w;
    for (size_t i = 0; i < s.size(); ++i) s[i] += w[i];
    return s;
  }
  void freeze(KeeperStore& store, int slab, int64_t round) const {
    const auto frozen =
        store.freeze(slab, round, store.version(slab), snapshot(store, slab, round));
    ASSERT_TRUE(frozen.ok()) << frozen.status();
    ASSERT_EQ(frozen->leaf, store.contribution_leaf(slab));
  }
  // Freezes, merges and holds all slabs of a round; the order that commits it.
  ApplyOrder prepare(KeeperStore& store, int64_t round) {
    ApplyOrder order{.round = round, .scalars = kNesterov, .delivery = Delivery::kIncluded};
    for (const int slab : store.slabs_of_fragment(table_.fragment_of_round(round))) {
      freeze(store, slab, round);
      merger_.add(slab);
      const MergeInput inputs[] = {{*store.contribution(slab, round), 1.0f}};
      const auto merged = merger_.merge(slab, round, inputs);
      EXPECT_TRUE(merged.ok()) << merged.status();
      const Status status = store.hold_merged(slab, round, merged->payload, merged->leaf, "north");
      EXPECT_TRUE(status.ok()) << status;
      order.slabs.push_back({slab, merged->leaf, store.contribution_leaf(slab)});
    }
    return order;
  }
  std::vector<Digest> leaves(const KeeperStore& store) const {
    std::vector<Digest> list;
    for (const int slab : store.slabs()) list.push_back(store.state_leaf(slab));
    return list;
  }
};

TEST_F(KeeperStoreTest, PreviousRoundIsOfTheSameFragment) {
  EXPECT_EQ(previous_round(table_, 1), 0);
  EXPECT_EQ(previous_round(table_, 2), 0);
  EXPECT_EQ(previous_round(table_, 3), 1);
  EXPECT_EQ(previous_round(table_, 8), 6);
}

TEST_F(KeeperStoreTest, ApplyMovesTheFragmentAndNothingElse) {
  KeeperStore store = fresh();
  const auto before = leaves(store);
  const ApplyOrder order = prepare(store, 1);
  EXPECT_EQ(leaves(store), before) << "nothing is applied before the commit";
  const Status status = store.apply(order);
  ASSERT_TRUE(status.ok()) << status;
  const auto after = leaves(store);
  for (const int slab : store.slabs()) {
    const bool moved = table_[slab].fragment == table_.fragment_of_round(1);
    EXPECT_EQ(store.version(slab), moved ? 1 : 0);
    EXPECT_EQ(after[slab] != before[slab], moved);
    EXPECT_EQ(store.previous(slab).version, moved ? 0 : kNoVersion);
  }
  ASSERT_TRUE(store.apply(order).ok()) << "a commit that comes again does nothing";
  EXPECT_EQ(leaves(store), after);
}

// The same rounds on two keepers, and the numbers by hand for one value.
TEST_F(KeeperStoreTest, StepsByTheDecodedPayload) {
  KeeperStore store = fresh();
  const std::vector<float> w0 = values(0, 1);
  const int64_t round = table_[0].fragment == table_.fragment_of_round(1) ? 1 : 2;
  const ApplyOrder order = prepare(store, round);
  std::vector<float> delta(w0.size());
  ASSERT_TRUE(codec_of(CodecKind::kInt4).decode(*store.merged(0, round), delta).ok());
  ASSERT_TRUE(store.apply(order).ok());
  for (size_t i = 0; i < w0.size(); ++i) {
    ASSERT_EQ(store.state(0).m[i], delta[i]);
    ASSERT_EQ(store.state(0).w[i], w0[i] - 0.5f * (delta[i] + 0.5f * delta[i]));
    ASSERT_EQ(store.previous(0).w[i], w0[i]);
  }
}

TEST_F(KeeperStoreTest, SkippedApplyIsCaughtAndNamed) {
  KeeperStore store = fresh(), twin = fresh();
  const ApplyOrder first = prepare(store, 1);
  ASSERT_TRUE(store.apply(first).ok());
  const ApplyOrder third = prepare(store, 3);
  // The twin missed round 1 and gets round 3.
  const int slab = third.slabs[0].slab;
  const Status held = twin.hold_merged(slab, 3, *store.merged(slab, 3), third.slabs[0].merged, "x");
  EXPECT_EQ(held.code(), Code::kFailedPrecondition);
  const auto before = leaves(twin);
  const Status status = twin.apply(third);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_NE(status.message().find(table_.name_of(slab)), std::string::npos) << status;
  EXPECT_NE(status.message().find("needs version 1"), std::string::npos) << status;
  EXPECT_EQ(leaves(twin), before);
}

TEST_F(KeeperStoreTest, AllSlabsOrNone) {
  KeeperStore store = fresh();
  const ApplyOrder whole = prepare(store, 1);
  ASSERT_GT(whole.slabs.size(), 1u);
  const auto before = leaves(store);

  ApplyOrder part = whole;
  part.slabs.pop_back();
  EXPECT_EQ(store.apply(part).code(), Code::kInternal);
  ApplyOrder other = whole;
  other.slabs.back().merged = digest_of("another payload");
  EXPECT_EQ(store.apply(other).code(), Code::kFailedPrecondition);
  // A bit flips in the merged bytes after they were checked and held.
  const SlabMemory& last = store.memory().slabs()[whole.slabs.back().slab];
  last.merged[5] ^= std::byte{4};
  const Status status = store.apply(whole);
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find(table_.name_of(last.slab)), std::string::npos) << status;
  EXPECT_EQ(leaves(store), before);
  last.merged[5] ^= std::byte{4};
  EXPECT_TRUE(store.apply(whole).ok());
}

TEST_F(KeeperStoreTest, FlippedBitsAreNamed) {
  KeeperStore store = fresh();
  prepare(store, 1);
  const int slab = store.slabs_of_fragment(table_.fragment_of_round(1))[1];
  const SlabMemory& memory = store.memory().slabs()[slab];

  // In a contribution: found by its own keeper before sending, and by the merger.
  std::vector<std::byte> sent(memory.contribution.begin(), memory.contribution.end());
  sent[3] ^= std::byte{1};
  const Status received = check_payload(table_, PayloadKind::kContribution, slab, 1, sent,
                                        store.contribution_leaf(slab), "south/a");
  EXPECT_EQ(received.code(), Code::kDataLoss);
  EXPECT_NE(received.message().find(table_.name_of(slab)), std::string::npos) << received;
  EXPECT_NE(received.message().find("south/a"), std::string::npos) << received;
  memory.contribution[3] ^= std::byte{1};
  EXPECT_EQ(store.contribution(slab, 1).status().code(), Code::kDataLoss);

  // In a merged slab on its way: refused, and the good one that was held stays.
  std::vector<std::byte> merged(memory.merged.begin(), memory.merged.end());
  const Digest leaf = store.merged_leaf(slab);
  merged.back() ^= std::byte{0x80};
  const Status status = store.hold_merged(slab, 1, merged, leaf, "north/b");
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find(table_.name_of(slab)), std::string::npos) << status;
  EXPECT_NE(status.message().find("north/b"), std::string::npos) << status;
  EXPECT_TRUE(store.merged(slab, 1).ok());
  // A payload of an earlier round with right bytes is a replay.
  merged.back() ^= std::byte{0x80};
  EXPECT_EQ(store.hold_merged(slab, 3, merged, leaf, "north/b").code(), Code::kDataLoss);
}

TEST_F(KeeperStoreTest, ContributionIsFrozenOnce) {
  KeeperStore store = fresh();
  const int slab = store.slabs_of_fragment(0)[0];
  freeze(store, slab, 1);
  const auto first = *store.contribution(slab, 1);
  const std::vector<std::byte> copy(first.begin(), first.end());
  EXPECT_EQ(store.freeze(slab, 1, 0, values(slab, 9)).status().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(std::ranges::equal(*store.contribution(slab, 1), copy));
  store.withdraw(slab);
  EXPECT_EQ(store.contribution(slab, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(store.freeze(slab, 2, 0, values(slab, 9)).status().code(), Code::kFailedPrecondition)
      << "round 2 merges the other fragment";
  EXPECT_EQ(store.freeze(slab, 1, 7, values(slab, 9)).status().code(), Code::kFailedPrecondition)
      << "another base";
  std::vector<float> bad = values(slab, 9);
  bad[2] = std::nanf("");
  const Status status = store.freeze(slab, 1, 0, bad).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find(table_.name_of(slab)), std::string::npos) << status;
  EXPECT_TRUE(store.contribution_leaf(slab).is_zero());
}

// Rule 8 and I5.
TEST_F(KeeperStoreTest, ResidualFollowsTheRecord) {
  KeeperStore store = fresh();
  const int slab = store.slabs_of_fragment(0)[0];
  const auto residual = [&] {
    const auto e = store.residual(slab);
    return std::vector<float>(e.begin(), e.end());
  };
  const std::vector<float> zeros(values(slab, 1).size(), 0.0f);

  ApplyOrder order = prepare(store, 1);
  std::vector<float> x = values(slab, 1), sent(x.size());
  const std::vector<float> s = snapshot(store, slab, 1);
  ASSERT_TRUE(codec_of(CodecKind::kInt4).decode(*store.contribution(slab, 1), sent).ok());
  EXPECT_TRUE(residual().empty()) << "pending until the commit";
  ASSERT_TRUE(store.apply(order).ok());
  const std::vector<float> included = residual();
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(included[i], (x[i] - s[i]) - sent[i]);

  order = prepare(store, 3);
  order.delivery = Delivery::kExcluded;
  ASSERT_TRUE(store.apply(order).ok());
  EXPECT_EQ(residual(), included) << "kept";

  order = prepare(store, 5);
  order.slabs[0].contribution = digest_of("a contribution that a crashed keeper sent");
  ASSERT_TRUE(store.apply(order).ok());
  EXPECT_EQ(residual(), zeros);

  ASSERT_TRUE(store.apply(prepare(store, 7)).ok());
  EXPECT_NE(residual(), zeros);
  order = prepare(store, 9);
  order.delivery = Delivery::kRejected;
  ASSERT_TRUE(store.apply(order).ok());
  EXPECT_EQ(residual(), zeros);
}

TEST_F(KeeperStoreTest, LearnerInstallsAndReplays) {
  KeeperStore donor = fresh();
  auto memory = KeeperMemory::allocate(table_, settings_);
  KeeperStore learner(table_, std::move(memory).value());
  const auto install = [&](int slab) {
    return learner.install(slab, donor.state(slab), donor.state_leaf(slab), "north/a");
  };
  // Half of the slabs at genesis, the rest after round 1; both end equal after replays.
  const std::vector<int> fragment = donor.slabs_of_fragment(0);
  ASSERT_TRUE(install(fragment[0]).ok());
  const ApplyOrder first = prepare(donor, 1);
  std::vector<std::byte> payload;
  const auto held = *donor.merged(fragment[0], 1);
  payload.assign(held.begin(), held.end());
  ASSERT_TRUE(donor.apply(first).ok());
  for (const int slab : donor.slabs()) {
    if (slab == fragment[0]) continue;
    ASSERT_TRUE(install(slab).ok());
  }
  EXPECT_EQ(learner.version(fragment[0]), 0);
  EXPECT_EQ(learner.version(fragment[1]), 1);
  Status status = learner.replay(fragment[0], 1, kNesterov, payload, first.slabs[0].merged, "log");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(leaves(learner), leaves(donor));
  status = learner.replay(fragment[0], 1, kNesterov, payload, first.slabs[0].merged, "log");
  EXPECT_EQ(status.code(), Code::kFailedPrecondition) << "twice";

  // A flipped bit in a fetched slab.
  std::vector<float> w(donor.state(0).w.begin(), donor.state(0).w.end());
  w[1] = -w[1];
  SlabState bad = donor.state(0);
  bad.w = w;
  learner.clear(0);
  EXPECT_EQ(learner.version(0), kNoVersion);
  status = learner.install(0, bad, donor.state_leaf(0), "south/a");
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find(table_.name_of(0)), std::string::npos) << status;
  EXPECT_TRUE(install(0).ok());
  EXPECT_EQ(install(0).code(), Code::kFailedPrecondition) << "not newer";
}

// The process dies at any point of an apply: the next one adopts the region and sees the fragment
// whole before or whole after, and the commit can be applied again.
TEST_F(KeeperStoreTest, AdoptedMemoryIsBeforeOrAfter) {
  const auto size = static_cast<size_t>(KeeperMemory::bytes_for(table_, settings_));
  const size_t rounded = (size + 4095) / 4096 * 4096;
  const std::unique_ptr<std::byte, decltype(&std::free)> region(
      static_cast<std::byte*>(std::aligned_alloc(4096, rounded)), &std::free);
  std::fill_n(region.get(), rounded, std::byte{0});
  const auto adopt = [&] {
    auto memory = KeeperMemory::adopt({region.get(), rounded}, table_, settings_);
    EXPECT_TRUE(memory.ok()) << memory.status();
    return KeeperStore(table_, std::move(memory).value());
  };
  ApplyOrder order;
  std::vector<Digest> before, after;
  {
    KeeperStore store = adopt();
    EXPECT_TRUE(store.memory().was_empty());
    for (const int slab : store.slabs()) {
      ASSERT_TRUE(store.initialize(slab, values(slab, 1)).ok());
    }
    order = prepare(store, 1);
    before = leaves(store);
  }
  std::vector<std::byte> prepared(region.get(), region.get() + rounded);
  {
    KeeperStore store = adopt();
    EXPECT_FALSE(store.memory().was_empty());
    EXPECT_EQ(leaves(store), before);
    ASSERT_TRUE(store.apply(order).ok());
    after = leaves(store);
  }
  // Everything of the apply reached memory but the stamp of the fragment.
  {
    KeeperStore store = adopt();
    store.memory().fragments()[table_.fragment_of_round(1)].applied_plus_one.store(1);
    for (const SlabOrder& entry : order.slabs) {
      SlabStamp& stamp = *store.memory().slabs()[entry.slab].stamp;
      stamp.contribution_plus_one.store(2);  // withdrawn only after the stamp
    }
    EXPECT_EQ(leaves(store), before);
    EXPECT_TRUE(store.residual(order.slabs[0].slab).empty());
    ASSERT_TRUE(store.apply(order).ok());
    EXPECT_EQ(leaves(store), after);
    EXPECT_FALSE(store.residual(order.slabs[0].slab).empty());
  }
  // Only some slabs were computed.
  std::ranges::copy(prepared, region.get());
  {
    KeeperStore store = adopt();
    const SlabMemory& memory = store.memory().slabs()[order.slabs[0].slab];
    std::ranges::fill(memory.w[1], 3.0f);
    memory.stamp->version_plus_one[1].store(2);
    EXPECT_EQ(leaves(store), before);
    ASSERT_TRUE(store.apply(order).ok());
    EXPECT_EQ(leaves(store), after);
  }
  // Another model's memory is not adopted.
  KeeperSettings other = settings_;
  other.slabs.pop_back();
  EXPECT_EQ(KeeperMemory::adopt({region.get(), rounded}, table_, other).status().code(),
            Code::kFailedPrecondition);
}

TEST_F(KeeperStoreTest, ExactModeStepsAdamW) {
  KeeperStore store = fresh(all_slabs(CodecKind::kIdentity, true));
  const auto bits = [](double value) { return bits_of(static_cast<float>(value)); };
  const arithmetic::AdamScalars scalars{
      bits(0.1), bits(0.9), bits(0.1), bits(0.95), bits(0.05),
      bits(0),   bits(0.5), bits(1),   bits(0.1),  bits(std::sqrt(0.05))};
  ApplyOrder order{.round = 1, .scalars = scalars, .delivery = Delivery::kIncluded};
  MergerStore merger(table_, CodecKind::kIdentity, CodecKind::kIdentity, 1);
  for (const int slab : store.slabs_of_fragment(0)) {
    ASSERT_TRUE(store.freeze(slab, 1, 0, values(slab, 2)).ok());
    merger.add(slab);
    const MergeInput inputs[] = {{*store.contribution(slab, 1), 0.25f}};
    const auto merged = merger.merge(slab, 1, inputs);
    ASSERT_TRUE(store.hold_merged(slab, 1, merged->payload, merged->leaf, "x").ok());
    order.slabs.push_back({slab, merged->leaf, store.contribution_leaf(slab)});
  }
  ApplyOrder wrong = order;
  wrong.scalars = kNesterov;
  EXPECT_EQ(store.apply(wrong).code(), Code::kInternal);
  ASSERT_TRUE(store.apply(order).ok());
  for (const int slab : store.slabs_of_fragment(0)) {
    const std::vector<float> w = values(slab, 1), g = values(slab, 2);
    const float decay = table_.tensor_of(slab).decays ? 0.95f : 1.0f;
    for (size_t i = 0; i < w.size(); ++i) {
      // The first step of AdamW goes by the sign of the gradient.
      ASSERT_NEAR(store.state(slab).w[i],
                  decay * w[i] - (g[i] > 0   ? 0.1f
                                  : g[i] < 0 ? -0.1f
                                             : 0),
                  1e-5);
      ASSERT_NEAR(store.state(slab).v[i], 0.05f * 0.0625f * g[i] * g[i], 1e-6);
    }
  }
}

TEST_F(KeeperStoreTest, WeightsThatOverflowAreNotApplied) {
  KeeperStore store = fresh(all_slabs(CodecKind::kIdentity, false));
  MergerStore merger(table_, CodecKind::kIdentity, CodecKind::kIdentity, 1);
  ApplyOrder order{.round = 1,
                   .scalars = arithmetic::NesterovScalars{bits_of(3e38f), bits_of(0.5f)},
                   .delivery = Delivery::kIncluded};
  for (const int slab : store.slabs_of_fragment(0)) {
    std::vector<float> s(values(slab, 1).size(), 100.0f);
    ASSERT_TRUE(store.freeze(slab, 1, 0, s).ok());
    merger.add(slab);
    const MergeInput inputs[] = {{*store.contribution(slab, 1), 1.0f}};
    const auto merged = merger.merge(slab, 1, inputs);
    ASSERT_TRUE(store.hold_merged(slab, 1, merged->payload, merged->leaf, "x").ok());
    order.slabs.push_back({slab, merged->leaf, store.contribution_leaf(slab)});
  }
  const auto before = leaves(store);
  const Status status = store.apply(order);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.scope(), Scope::kRun);
  EXPECT_EQ(leaves(store), before);
}

TEST_F(KeeperStoreTest, MergersResidualAdvancesOnlyWithItsCommit) {
  KeeperStore store = fresh();
  const int slab = store.slabs_of_fragment(0)[0];
  freeze(store, slab, 1);
  merger_.add(slab);
  const MergeInput inputs[] = {{*store.contribution(slab, 1), 0.3f}};
  const Digest first = merger_.merge(slab, 1, inputs)->leaf;
  merger_.commit(slab, 1, digest_of("another merger's"));
  EXPECT_EQ(merger_.merge(slab, 1, inputs)->leaf, first) << "a second attempt starts as the first";
  merger_.commit(slab, 1, first);
  EXPECT_NE(merger_.merge(slab, 1, inputs)->leaf, first);
}

}  // namespace
}  // namespace skarv
