#include "spec/nominal.h"

#include <gtest/gtest.h>

#include "spec/examples.h"

namespace skarv {
namespace {

using enum ActionKind;

TEST(NominalTimes, SumLayersScaleWithTheLastMicrobatchAndPayForRecomputation) {
  const Model model = example_run().model;  // four blocks
  Profile profile;
  for (int size : {1, 4}) {
    const double s = 0.001 * size;
    profile.layers.push_back({"cpu", LayerKind::kEmbedding, size, 1, s, 0, s, 0.002, 0});
    profile.layers.push_back({"cpu", LayerKind::kBlock, size, 1, 2 * s, 3 * s, 4 * s, 0.008, 0});
    profile.layers.push_back({"cpu", LayerKind::kHead, size, 1, s, s, s, 0.004, 0});
  }
  Island island{"i", {{4, 6, "1f1b", {{0, 3, {"a"}}, {3, 6, {"b"}, 1, Recompute::kFull}}}}};
  const SlabTable table(model, 1);
  const Ownership ownership = ownership_of(island, Plan{}, table);
  const auto times = [&](int rank) {
    return NominalTimes::create(island, ownership, table, model, profile, "cpu", rank).value();
  };
  using std::chrono::milliseconds;
  const NominalTimes a = times(0), b = times(1);
  EXPECT_EQ(a.of({kForward, 0, 0, 0}), milliseconds(4 + 2 * 8));
  EXPECT_EQ(a.of({kForward, 0, 0, 1}), milliseconds(2 + 2 * 4));  // two samples
  EXPECT_EQ(a.of({kBackward, 0, 0, 0}), milliseconds(4 + 2 * 28));
  EXPECT_EQ(a.of({kBackwardInput, 0, 0, 0}), milliseconds(24));
  EXPECT_EQ(b.of({kBackwardInput, 0, 1, 0}), milliseconds(24 + 4 + 20));
  EXPECT_EQ(b.of({kBackwardWeight, 0, 1, 0}), milliseconds(32 + 4));
  EXPECT_EQ(a.of({kUpdate, -1, -1, -1, 0}), milliseconds(2 + 2 * 8));
  EXPECT_EQ(b.of({kUpdate, -1, -1, -1, 1}), milliseconds(4 + 2 * 8));
  EXPECT_EQ(a.of({kSendActivation, 0, 0, 0, -1, 1, 64}), milliseconds(0));
  EXPECT_FALSE(NominalTimes::create(island, ownership, table, model, profile, "h20", 0).ok());
}

}  // namespace
}  // namespace skarv
