#include "spec/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "spec/examples.h"

namespace skarv {
namespace {

using testing::ElementsAre;

int64_t owned_elements(const Ownership& ownership, const SlabTable& table, int rank) {
  int64_t total = 0;
  for (int slab : ownership.slabs_owned_by(rank)) total += table[slab].size();
  return total;
}

// Two pipelines of two stages that are cut at different layers.
Plan two_pipelines() {
  Plan plan;
  Island island{"north", {}};
  island.pipelines.push_back({1, 4, "1f1b", {{0, 2, {"a"}}, {2, 6, {"b"}}}});
  island.pipelines.push_back({1, 4, "1f1b", {{0, 4, {"c"}}, {4, 6, {"d"}}}});
  plan.islands.push_back(island);
  return plan;
}

TEST(Ownership, GroupsAreTheDistinctSetsOfHolders) {
  const Plan plan = two_pipelines();
  const SlabTable table(example_run().model, 1);
  const Ownership ownership = ownership_of(plan.islands[0], plan, table);
  EXPECT_THAT(ownership.devices, ElementsAre("a", "b", "c", "d"));
  ASSERT_EQ(ownership.groups.size(), 3);
  EXPECT_THAT(ownership.groups[0].members, ElementsAre(0, 2));  // layers 0, 1
  EXPECT_THAT(ownership.groups[1].members, ElementsAre(1, 2));  // layers 2, 3
  EXPECT_THAT(ownership.groups[2].members, ElementsAre(1, 3));  // layers 4, 5
  size_t num_slabs = 0;
  for (size_t group = 0; group < ownership.groups.size(); ++group) {
    for (int slab : ownership.groups[group].slabs) {
      EXPECT_EQ(ownership.group_of_slab(slab), static_cast<int>(group));
      const std::vector<int>& members = ownership.groups[group].members;
      EXPECT_TRUE(std::ranges::binary_search(members, ownership.owner[slab]));
    }
    num_slabs += ownership.groups[group].slabs.size();
  }
  EXPECT_EQ(num_slabs, static_cast<size_t>(table.size()));
}

TEST(Ownership, TiedEmbeddingIsHeldByBothEnds) {
  Model model = example_run().model;
  model.tied_head = true;
  const Plan plan = two_pipelines();
  const SlabTable table(model, 1);
  const Ownership ownership = ownership_of(plan.islands[0], plan, table);
  EXPECT_THAT(ownership.groups[ownership.group_of_slab(0)].members, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(ownership.tensors_held[3].front(), 0);
}

TEST(Ownership, OwnedElementsFollowTheShares) {
  Plan plan;
  Island island{"north", {}};
  for (const char* device : {"a", "b", "c"}) {
    island.pipelines.push_back({1, 1, "1f1b", {{0, 6, {device}}}});
  }
  plan.islands.push_back(island);
  const SlabTable table(example_run().model, 1);
  const double total = static_cast<double>(table.num_elements());
  Ownership ownership = ownership_of(plan.islands[0], plan, table);
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_NEAR(owned_elements(ownership, table, rank) / total, 1.0 / 3, 0.03);
  }
  plan.owner_share = {{"a", 3}, {"b", 1}, {"c", 0}};
  ownership = ownership_of(plan.islands[0], plan, table);
  EXPECT_NEAR(owned_elements(ownership, table, 0) / total, 0.75, 0.03);
  EXPECT_EQ(owned_elements(ownership, table, 2), 0);
  plan.owner_share = {{"a", 0}, {"b", 0}, {"c", 0}};
  ownership = ownership_of(plan.islands[0], plan, table);
  for (int owner : ownership.owner) EXPECT_GE(owner, 0);
}

}  // namespace
}  // namespace skarv
