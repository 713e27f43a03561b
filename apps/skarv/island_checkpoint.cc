#include "island_checkpoint.h"

#include "base/text.h"
#include "ckpt/checkpoint.h"

namespace skarv {

namespace {

constexpr int kKeepLast = 2;
constexpr char kMoveAway[] =
    "move the folder of this checkpoint away: the one before it is taken then";

// Sections, and where their values lie.
constexpr char kOuterWeights[] = "outer.w", kOuterMomentum[] = "outer.m",
               kOuterSecond[] = "outer.v", kOuterResidual[] = "outer.e",
               kMergerResidual[] = "merger.e";
constexpr char kMoment[] = "exp_avg", kSecondMoment[] = "exp_avg_sq";

std::filesystem::path root_of(const std::filesystem::path& folder) {
  return folder / "checkpoints";
}

Json to_json(const PutAway& put_away) {
  Json merged = Json::array();
  for (const auto& [slab, residual] : put_away.merger_residuals) merged.push_back(slab);
  return {{"journal", put_away.journal.to_json()}, {"merged_slabs", std::move(merged)}};
}

Result<PutAway> put_away_of(const Json& json, const std::string& origin) {
  PutAway put_away;
  SKARV_ASSIGN(put_away.journal, wan::LocalJournal::from_json(json.at("journal"), origin));
  for (const Json& slab : json.at("merged_slabs")) put_away.merger_residuals[slab.get<int>()];
  return put_away;
}

Piece piece_of(const SlabTable& table, int slab, const char* section) {
  const TensorSpec& tensor = table.tensor_of(slab);
  return {section, tensor.name, tensor.shape, table[slab].begin, table[slab].end};
}

}  // namespace

OuterCopy OuterCopy::of(const KeeperStore& keeper, const SlabTable& table) {
  OuterCopy copy;
  copy.round = std::numeric_limits<int64_t>::max();
  for (int slab = 0; slab < table.size(); ++slab) {
    const SlabState state = keeper.state(slab);
    const auto residual = keeper.residual(slab);
    copy.slabs.push_back({state.version,
                          keeper.state_leaf(slab),
                          {state.w.begin(), state.w.end()},
                          {state.m.begin(), state.m.end()},
                          {state.v.begin(), state.v.end()},
                          {residual.begin(), residual.end()}});
    copy.round = std::min(copy.round, state.version);
  }
  return copy;
}

Result<std::filesystem::path> save_checkpoint(const std::filesystem::path& folder, const Run& run,
                                              const SlabTable& table, const OuterCopy& outer,
                                              const handoff::SharedMemory& memory,
                                              const InnerState& inner, const PutAway* put_away) {
  // Two of one name hold the same state.
  const std::string name =
      cat("step-", inner.step, "-round-", outer.round, put_away != nullptr ? "-stopped" : "");
  if (std::filesystem::exists(root_of(folder) / name / "COMMIT")) return root_of(folder) / name;
  SKARV_ASSIGN(const auto partial, begin_checkpoint(root_of(folder), name));
  std::vector<Piece> pieces;
  std::vector<std::span<const float>> values;
  auto add = [&](int slab, const char* section, std::span<const float> array) {
    if (array.empty()) return;
    pieces.push_back(piece_of(table, slab, section));
    values.push_back(array);
  };
  // A residual that is zero on this slab is zero in the file: a section covers all tensors.
  bool any_residual = false;
  for (const OuterCopy::Slab& slab : outer.slabs) any_residual |= !slab.residual.empty();
  std::vector<std::vector<float>> zeros;
  zeros.reserve(2 * outer.slabs.size());
  for (int slab = 0; slab < table.size(); ++slab) {
    const OuterCopy::Slab& state = outer.slabs[static_cast<size_t>(slab)];
    add(slab, kOuterWeights, state.w);
    add(slab, kOuterMomentum, state.m);
    add(slab, kOuterSecond, state.v);
    if (any_residual && state.residual.empty()) {
      add(slab, kOuterResidual, zeros.emplace_back(state.w.size(), 0.0f));
    } else {
      add(slab, kOuterResidual, state.residual);
    }
    if (put_away != nullptr && !put_away->merger_residuals.empty()) {
      const auto found = put_away->merger_residuals.find(slab);
      const bool held = found != put_away->merger_residuals.end();
      add(slab, kMergerResidual, held ? found->second : zeros.emplace_back(state.w.size(), 0.0f));
    }
    if (inner.parity < 0) continue;
    add(slab, kWeights, memory.at(slab).x[inner.parity]);
    add(slab, kMoment, memory.at(slab).exp_avg[inner.parity]);
    add(slab, kSecondMoment, memory.at(slab).exp_avg_sq[inner.parity]);
  }
  SKARV_ASSIGN(ShardWriter shard, ShardWriter::create(partial, "island", pieces));
  for (const auto& array : values) SKARV_TRY(shard.append(array));
  SKARV_ASSIGN(const Json written, shard.finish());

  Json extra = {{"run", digest_of(run).hex()}, {"model", to_json(run.model)},
                {"step", inner.step},          {"has_inner", inner.parity >= 0},
                {"round", outer.round},        {"slabs", Json::array()}};
  if (put_away != nullptr) extra["put_away"] = to_json(*put_away);
  for (const OuterCopy::Slab& slab : outer.slabs) {
    extra["slabs"].push_back({slab.version, slab.leaf.hex()});
  }
  return commit_checkpoint(root_of(folder), name, {written}, extra, kKeepLast);
}

namespace {

// Throws Json's exceptions for a record of another form.
Result<LoadedCheckpoint> fill_from(const CheckpointReader& reader, const Run& run,
                                   const SlabTable& table, KeeperStore& keeper,
                                   const handoff::SharedMemory& memory) {
  const std::filesystem::path& path = reader.folder();
  const Json& extra = reader.extra();
  if (extra.value("run", "") != digest_of(run).hex()) {
    return Status(Code::kFailedPrecondition, Scope::kConfig,
                  "the checkpoint belongs to a run with other settings")
        .at(path.string())
        .with_hint("resume with the run file it was made with, or start in a new folder");
  }
  const Json& slabs = extra.at("slabs");
  if (slabs.size() != static_cast<size_t>(table.size())) {
    return Status(Code::kDataLoss, Scope::kRun, "its list of slabs does not fit the model")
        .at(path.string());
  }
  const bool exact = keeper.memory().settings().exact;
  const bool has_inner = extra.value("has_inner", false);
  LoadedCheckpoint loaded{{has_inner ? 0 : -1, extra.value("step", int64_t{0})}, {}};
  if (extra.contains("put_away") && has_inner) {
    SKARV_ASSIGN(loaded.put_away, put_away_of(extra["put_away"], path.string()));
  }
  // What the island owes a round that is not merged yet are these very weights.
  const bool at_snapshot =
      loaded.put_away && loaded.put_away->journal.state().snapshot_step == loaded.inner.step;
  for (int slab = 0; slab < table.size(); ++slab) {
    const std::string& name = table.tensor_of(slab).name;
    const int64_t begin = table[slab].begin;
    const size_t size = static_cast<size_t>(table[slab].size());
    std::vector<float> w(size), m(size), v(exact ? size : 0);
    SKARV_TRY(reader.read(kOuterWeights, name, begin, w));
    SKARV_TRY(reader.read(kOuterMomentum, name, begin, m));
    if (exact) SKARV_TRY(reader.read(kOuterSecond, name, begin, v));
    SKARV_ASSIGN(const Digest leaf,
                 Digest::parse(slabs[static_cast<size_t>(slab)].at(1).get<std::string>()));
    const SlabState state{slabs[static_cast<size_t>(slab)].at(0).get<int64_t>(), w, m, v};
    if (!keeper.install(slab, state, leaf, path.string()).ok()) {
      return Status(Code::kDataLoss, Scope::kRun,
                    cat("the values of ", table.name_of(slab), " are not those that were saved"))
          .at(path.string())
          .with_hint(kMoveAway);
    }
    if (reader.has(kOuterResidual, name)) {
      std::vector<float> residual(size);
      SKARV_TRY(reader.read(kOuterResidual, name, begin, residual));
      keeper.restore_residual(slab, residual);
    }
    if (loaded.put_away && loaded.put_away->merger_residuals.contains(slab)) {
      std::vector<float>& residual = loaded.put_away->merger_residuals[slab];
      residual.resize(size);
      SKARV_TRY(reader.read(kMergerResidual, name, begin, residual));
    }
    if (!has_inner) continue;
    const handoff::SlabMemory& inner = memory.at(slab);
    SKARV_TRY(reader.read(kWeights, name, begin, inner.x[0]));
    if (at_snapshot) std::ranges::copy(inner.x[0], inner.snapshot.begin());
    SKARV_TRY(reader.read(kMoment, name, begin, inner.exp_avg[0]));
    SKARV_TRY(reader.read(kSecondMoment, name, begin, inner.exp_avg_sq[0]));
  }
  return loaded;
}

}  // namespace

Result<LoadedCheckpoint> load_checkpoint(const std::filesystem::path& folder, const Run& run,
                                         const SlabTable& table, KeeperStore& keeper,
                                         const handoff::SharedMemory& memory) {
  SKARV_ASSIGN(const auto path, latest_checkpoint(root_of(folder)));
  SKARV_ASSIGN(const CheckpointReader reader, CheckpointReader::open(path));
  try {
    return fill_from(reader, run, table, keeper, memory);
  } catch (const Json::exception& error) {
    return Status(Code::kDataLoss, Scope::kRun, cat("its record is damaged: ", error.what()))
        .at(path.string())
        .with_hint(kMoveAway);
  }
}

}  // namespace skarv
