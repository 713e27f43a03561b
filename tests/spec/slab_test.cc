#include "spec/slab.h"

#include <gtest/gtest.h>

namespace skarv {
namespace {

Model model_with(int64_t blocks, int64_t vocabulary) {
  Model model;
  model.vocabulary = vocabulary;
  model.hidden = 256;
  model.num_blocks = blocks;
  model.num_heads = model.num_kv_heads = 8;
  model.head_dim = 32;
  model.ffn = 704;
  model.context = 128;
  return model;
}

TEST(SlabTable, CoversEveryElementOnceInOrder) {
  const Model model = model_with(4, 100001);
  const SlabTable table(model, 2);
  EXPECT_EQ(table.num_elements(), num_parameters(model));
  int tensor = 0;
  int64_t next = 0;
  for (int i = 0; i < table.size(); ++i) {
    const Slab& slab = table[i];
    if (slab.tensor != tensor) {
      EXPECT_EQ(next, table.tensors()[tensor].num_elements());
      EXPECT_EQ(slab.tensor, tensor + 1);
      tensor = slab.tensor;
      next = 0;
    }
    EXPECT_EQ(slab.begin, next);
    EXPECT_GT(slab.size(), 0);
    EXPECT_LE(slab.size(), kMaxSlabElements);
    if (slab.end != table.tensor_of(i).num_elements()) {
      EXPECT_EQ(slab.size() % kSlabAlignment, 0);
    }
    EXPECT_EQ(slab.layer, table.tensor_of(i).layer);
    next = slab.end;
  }
  EXPECT_EQ(tensor + 1, static_cast<int>(table.tensors().size()));
}

TEST(SlabTable, LargeTensorsAreCutIntoEqualPieces) {
  const SlabTable table(model_with(1, 100001), 1);  // 25.6 M elements in the embedding
  const std::vector<int> pieces = table.slabs_of_tensor(0);
  ASSERT_EQ(pieces.size(), 7);
  EXPECT_LE(table[pieces[0]].size() - table[pieces[6]].size(), 7 * kSlabAlignment);
  EXPECT_EQ(table.name_of(pieces[0]), "model.embed_tokens.weight[0:3657728]");
}

TEST(SlabTable, FragmentsStrideOverBlocksAndTheEndsGoToTheLightest) {
  const SlabTable table(model_with(5, 1000), 2);  // blocks 3 : 2, so the ends go to fragment 1
  for (const Slab& slab : table.slabs()) {
    const int expected = slab.layer == 0 || slab.layer == 6 ? 1 : (slab.layer - 1) % 2;
    EXPECT_EQ(slab.fragment, expected) << slab.layer;
  }
  EXPECT_EQ(table.slabs_of_fragment(0).size() + table.slabs_of_fragment(1).size(),
            static_cast<size_t>(table.size()));
  EXPECT_EQ(table.fragment_of_round(1), 0);
  EXPECT_EQ(table.fragment_of_round(2), 1);
  EXPECT_EQ(table.fragment_of_round(3), 0);
}

TEST(SlabTable, DigestKnowsModelAndFragments) {
  const Digest digest = SlabTable(model_with(4, 1000), 2).digest();
  EXPECT_EQ(digest, SlabTable(model_with(4, 1000), 2).digest());
  EXPECT_NE(digest, SlabTable(model_with(4, 1000), 4).digest());
  EXPECT_NE(digest, SlabTable(model_with(4, 1001), 2).digest());
}

}  // namespace
}  // namespace skarv
