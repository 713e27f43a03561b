#include "spec/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "base/text.h"
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

// Every holder looked at for every slab, as the header says it.
std::vector<int> owners_by_the_rule(const Ownership& ownership, const SlabTable& table,
                                    const std::vector<double>& share) {
  std::vector<int> order(table.size()), owner(table.size(), -1);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](int slab) { return table[slab].size(); });
  std::vector<double> owned(share.size(), 0);
  for (int slab : order) {
    const std::vector<int>& members = ownership.groups[ownership.group_of_slab(slab)].members;
    const bool is_wanted = std::ranges::any_of(members, [&](int rank) { return share[rank] > 0; });
    double least = 0;
    for (int rank : members) {
      if (is_wanted && share[rank] == 0) continue;
      const double load =
          (owned[rank] + static_cast<double>(table[slab].size())) / (is_wanted ? share[rank] : 1);
      if (owner[slab] >= 0 && load >= least) continue;
      owner[slab] = rank;
      least = load;
    }
    owned[owner[slab]] += static_cast<double>(table[slab].size());
  }
  return owner;
}

// Pipelines cut anywhere, so that ranks are in several groups; shares that are often equal, or 0.
TEST(Ownership, EverySlabGoesToTheHolderWithTheLeastPerShare) {
  Model model = example_run().model;
  model.vocabulary = 300'000;  // several slabs of one tensor
  const SlabTable table(model, 1);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const CounterRandom random(seed, "ownership");
    uint64_t drawn = 0;
    Plan plan;
    Island& island = plan.islands.emplace_back();
    std::vector<double> shares;
    const double known[] = {0, 0.3, 0.3, 1, 1, 3};
    const size_t num_pipelines = 1 + random.below(drawn++, 9);
    for (size_t p = 0; p < num_pipelines; ++p) {
      const int border = 1 + static_cast<int>(random.below(drawn++, 5));
      island.pipelines.push_back({1, 1, "1f1b", {}});
      for (const auto& [first, last] : {std::pair(0, border), std::pair(border, 6)}) {
        Stage stage{first, last, {}, 1 + static_cast<int>(random.below(drawn++, 2))};
        for (int member = 0; member < stage.tensor_parallel; ++member) {
          stage.devices.push_back(cat("d", shares.size()));
          shares.push_back(known[random.below(drawn++, 6)]);
          plan.owner_share[stage.devices.back()] = shares.back();
        }
        island.pipelines.back().stages.push_back(stage);
      }
    }
    const Ownership ownership = ownership_of(island, plan, table);
    ASSERT_EQ(ownership.owner, owners_by_the_rule(ownership, table, shares)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace skarv
