// An island's checkpoint: outer state (the same on every island) and its own inner state, by
// parameter name and range, so that another number of devices can read it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/checkpoint_reader.h"
#include "handoff/memory.h"
#include "spec/run.h"
#include "wan/keeper_store.h"
#include "wan/round/local_journal.h"

namespace skarv {

// A consistent copy of the outer state, taken between two outer steps.
struct OuterCopy {
  struct Slab {
    int64_t version = 0;
    Digest leaf;
    std::vector<float> w, m, v;
    std::vector<float> residual;  // empty: zero
  };
  std::vector<Slab> slabs;  // by slab
  int64_t round = 0;        // lowest version: payloads from the next one on bring it forward

  static OuterCopy of(const KeeperStore& keeper, const SlabTable& table);
};

struct InnerState {
  int parity = -1;   // in the shared memory; -1: none was taken yet
  int64_t step = 0;  // optimizer steps done
};

// What an island put away beside that when it stopped in order: with it, a resumed run is bit for
// bit the run that was never stopped.
struct PutAway {
  wan::LocalJournal journal;
  std::map<int, std::vector<float>> merger_residuals;
};

// Saves under folder/checkpoints/step-N-round-R (-stopped: with what was put away), keeps the
// newest two. Errors name the file; what was saved before stays.
Result<std::filesystem::path> save_checkpoint(const std::filesystem::path& folder, const Run& run,
                                              const SlabTable& table, const OuterCopy& outer,
                                              const handoff::SharedMemory& memory,
                                              const InnerState& inner,
                                              const PutAway* put_away = nullptr);

struct LoadedCheckpoint {
  InnerState inner;
  std::optional<PutAway> put_away;
};
// Fills an empty keeper and the shared memory's inner state `parity` 0. Errors: kNotFound without a
// checkpoint; kFailedPrecondition for another run; kDataLoss.
Result<LoadedCheckpoint> load_checkpoint(const std::filesystem::path& folder, const Run& run,
                                         const SlabTable& table, KeeperStore& keeper,
                                         const handoff::SharedMemory& memory);

}  // namespace skarv
