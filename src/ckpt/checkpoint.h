// Checkpoints: a folder of safetensors shards, a manifest and a commit record. A checkpoint is
// addressed by section ("weights", "exp_avg", "exp_avg_sq", "outer.w", ...), parameter name
// (Hugging Face's) and element range, never by rank: it is written by any number of writers and
// read by any other number. It exists only when its commit record is durable:
//   <root>/.<name>.partial/   while it is written; never read
//   <root>/<name>/            shards, manifest.json, COMMIT (digest of the manifest)
// Saving never touches older checkpoints until the new one is committed; a full disk or a crash
// leaves them as they were. Writers of one checkpoint may be different processes on one file
// system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ckpt/safetensors.h"

namespace skarv {

inline constexpr char kWeights[] = "weights";

// A contiguous range of one tensor in one section.
struct Piece {
  std::string section, name;
  std::vector<int64_t> shape;  // of the whole tensor
  int64_t begin = 0, end = 0;  // elements, row-major

  int64_t size() const { return end - begin; }
};

// An empty partial folder (what an earlier attempt left there is removed).
Result<std::filesystem::path> begin_checkpoint(const std::filesystem::path& root,
                                               const std::string& name);

// One writer's file in the partial folder. Destroyed before finish(), it removes its file.
class ShardWriter {
 public:
  // `writer` is part of the file's name and unique in the checkpoint ("a-0").
  static Result<ShardWriter> create(const std::filesystem::path& partial, const std::string& writer,
                                    std::vector<Piece> pieces);
  // Values of the pieces in their order; may end or begin anywhere.
  Status append(std::span<const float> values) { return file_.append(values); }
  // Durable. What the committer needs to know of it, to be sent as it is.
  Result<Json> finish();

 private:
  ShardWriter(SafetensorsWriter file, std::string file_name, std::vector<Piece> pieces)
      : file_(std::move(file)), file_name_(std::move(file_name)), pieces_(std::move(pieces)) {}
  SafetensorsWriter file_;
  std::string file_name_;
  std::vector<Piece> pieces_;
};

// Checks that all shards are there with their sizes and that every tensor of every section is
// covered exactly once, writes manifest and commit record, and makes the folder visible. `extra` is
// the caller's (leases, step, round, chain digest, run). Then the oldest beyond `keep_last` (0:
// all) are removed. Returns the folder. On failure the partial folder stays until the next begin.
Result<std::filesystem::path> commit_checkpoint(const std::filesystem::path& root,
                                                const std::string& name,
                                                const std::vector<Json>& shards, const Json& extra,
                                                int keep_last);

// Committed ones, oldest first (by the number that the commit records count up).
Result<std::vector<std::filesystem::path>> list_checkpoints(const std::filesystem::path& root);
// Error: kNotFound when there is none, saying whether unfinished ones lie there.
Result<std::filesystem::path> latest_checkpoint(const std::filesystem::path& root);

}  // namespace skarv
