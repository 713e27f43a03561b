#include "island_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/small_model.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

// An island with its outer state and its inner state of one parity.
struct IslandState {
  explicit IslandState(const SlabTable& table)
      : keeper(table, KeeperMemory::allocate(table, settings_of(table)).value()),
        memory(handoff::SharedMemory::create(table, settings_of(table).slabs,
                                             KeeperMemory::bytes_for(table, settings_of(table)))
                   .value()) {}

  static KeeperSettings settings_of(const SlabTable& table) {
    KeeperSettings settings{
        .slabs = {}, .upload = CodecKind::kInt4, .download = CodecKind::kInt4, .exact = false};
    for (int slab = 0; slab < table.size(); ++slab) settings.slabs.push_back(slab);
    return settings;
  }

  KeeperStore keeper;
  handoff::SharedMemory memory;
};

// Stopped at step 10 while round 1, frozen at `snapshot_step`, was not merged. What the island that
// resumes there holds as the snapshot of a slab.
std::vector<float> snapshot_after_resume(int64_t snapshot_step) {
  const TemporaryFolder folder;
  skarv::Run run;
  run.model = small_model();
  const SlabTable table(run.model, 1);
  IslandState stopped(table);
  for (int slab = 0; slab < table.size(); ++slab) {
    const std::vector<float> zeros(static_cast<size_t>(table[slab].size()), 0.0f);
    EXPECT_TRUE(stopped.keeper.initialize(slab, zeros).ok());
    std::ranges::fill(stopped.memory.at(slab).x[1], static_cast<float>(slab + 1));
  }
  PutAway put_away{wan::LocalJournal(0), {}};
  put_away.journal.froze(1, snapshot_step);
  put_away.journal.stable(10);
  const auto saved =
      save_checkpoint(folder.path(), run, table, OuterCopy::of(stopped.keeper, table),
                      stopped.memory, {1, 10}, &put_away);
  EXPECT_TRUE(saved.ok()) << saved.status();

  IslandState resumed(table);
  const auto loaded = load_checkpoint(folder.path(), run, table, resumed.keeper, resumed.memory);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->inner.step, 10);
  EXPECT_TRUE(loaded->put_away.has_value());
  const handoff::SlabMemory& last = resumed.memory.at(table.size() - 1);
  EXPECT_EQ(last.x[0].front(), static_cast<float>(table.size()));
  return {last.snapshot.begin(), last.snapshot.end()};
}

// The contribution that it owes is frozen again from these weights, so they have to be there.
TEST(IslandCheckpoint, HoldsTheSnapshotOfARoundThatIsNotMerged) {
  const std::vector<float> snapshot = snapshot_after_resume(10);
  const SlabTable table(small_model(), 1);
  EXPECT_TRUE(std::ranges::all_of(
      snapshot, [&](float value) { return value == static_cast<float>(table.size()); }));
}

TEST(IslandCheckpoint, HasNoSnapshotOfAnotherStep) {
  EXPECT_TRUE(
      std::ranges::all_of(snapshot_after_resume(5), [](float value) { return value == 0; }));
}

}  // namespace
}  // namespace skarv
