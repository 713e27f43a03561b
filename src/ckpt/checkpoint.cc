#include "ckpt/checkpoint.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/clock.h"
#include "base/text.h"
#include "ckpt/manifest.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

fs::path partial_of(const fs::path& root, const std::string& name) {
  return root / ("." + name + ".partial");
}

Status check_name(const std::string& name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (!name.empty() && name[0] != '.' && plain) return Status();
  return bug("\"" + name + "\" can not be the name of a checkpoint or writer");
}

struct Committed {
  int64_t number;
  fs::path folder;
};

Result<std::vector<Committed>> committed_in(const fs::path& root) {
  std::vector<Committed> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    if (entry.path().filename().string().starts_with(".")) continue;
    const Result<Json> commit = read_json(entry.path() / "COMMIT");
    if (!commit.ok() || !commit->is_object() || !commit->contains("number") ||
        !(*commit)["number"].is_number_integer()) {
      continue;
    }
    found.push_back({(*commit)["number"].get<int64_t>(), entry.path()});
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return io_error("cannot list the checkpoints", root.string(), error.value());
  }
  std::ranges::sort(found, {}, &Committed::number);
  return found;
}

// The commit record goes first: what is half removed is no checkpoint any more.
Status remove_checkpoint(const fs::path& folder) {
  std::error_code error;
  fs::remove(folder / "COMMIT", error);
  if (!error) SKARV_TRY(sync_directory(folder));
  if (!error) fs::remove_all(folder, error);
  if (error) return io_error("cannot remove the old checkpoint", folder.string(), error.value());
  return Status();
}

}  // namespace

Result<fs::path> begin_checkpoint(const fs::path& root, const std::string& name) {
  SKARV_TRY(check_name(name));
  SKARV_TRY(make_directories(root));
  const fs::path partial = partial_of(root, name);
  std::error_code error;
  fs::remove_all(partial, error);
  if (error) return io_error("cannot remove", partial.string(), error.value());
  SKARV_TRY(make_directories(partial));
  return partial;
}

Result<ShardWriter> ShardWriter::create(const fs::path& partial, const std::string& writer,
                                        std::vector<Piece> pieces) {
  SKARV_TRY(check_name(writer));
  std::vector<TensorDeclaration> tensors;
  for (const Piece& piece : pieces) {
    tensors.push_back({key_of(piece), DataType::kFloat32, {piece.size()}});
  }
  std::string file_name = "shard-" + writer + ".safetensors";
  SKARV_ASSIGN(SafetensorsWriter file, SafetensorsWriter::create(partial / file_name, tensors));
  return ShardWriter(std::move(file), std::move(file_name), std::move(pieces));
}

Result<Json> ShardWriter::finish() {
  SKARV_ASSIGN(const Digest digest, file_.finish());
  return to_json(ShardInfo{file_name_, file_.num_bytes(), digest, pieces_});
}

Result<fs::path> commit_checkpoint(const fs::path& root, const std::string& name,
                                   const std::vector<Json>& shards, const Json& extra,
                                   int keep_last) {
  SKARV_TRY(check_name(name));
  const fs::path partial = partial_of(root, name), folder = root / name;
  std::error_code error;
  if (fs::exists(folder / "COMMIT", error)) {
    return Status(Code::kAlreadyExists, Scope::kRun, "a checkpoint of this name exists")
        .at(folder.string())
        .with_hint("choose another folder for this run, or resume from it");
  }
  std::vector<ShardInfo> infos;
  std::set<std::string> files;
  for (const Json& json : shards) {
    SKARV_ASSIGN(ShardInfo info, shard_from_json(json, partial.string()));
    const fs::path path = partial / info.file;
    const auto size = fs::file_size(path, error);
    if (error) return io_error("a shard is missing", path.string(), error.value());
    if (static_cast<int64_t>(size) != info.num_bytes || !files.insert(info.file).second) {
      return Status(Code::kDataLoss, Scope::kRun,
                    cat("a shard has ", size, " bytes instead of ", info.num_bytes,
                        ", or two writers have one name"))
          .at(path.string())
          .with_hint("the next save writes it anew");
    }
    infos.push_back(std::move(info));
  }
  SKARV_TRY(check_coverage(infos, partial.string()));
  SKARV_ASSIGN(const std::vector<Committed> before, committed_in(root));
  const int64_t number = before.empty() ? 1 : before.back().number + 1;

  Json list = Json::array();
  for (const ShardInfo& info : infos) list.push_back(to_json(info));
  const std::string manifest = Json{{"version", 1}, {"shards", list}, {"extra", extra}}.dump(1);
  SKARV_TRY(write_file_atomic(partial / "manifest.json", manifest));
  const Json commit = {
      {"number", number}, {"manifest", digest_of(manifest).hex()}, {"utc", utc_now()}};
  SKARV_TRY(write_file_atomic(partial / "COMMIT", commit.dump() + "\n"));
  fs::remove_all(folder, error);  // without a commit record: the rest of a removal
  fs::rename(partial, folder, error);
  if (error) return io_error("cannot rename into place", folder.string(), error.value());
  SKARV_TRY(sync_directory(root));

  if (keep_last > 0) {
    const auto num_old = static_cast<int64_t>(before.size()) + 1 - keep_last;
    for (int64_t i = 0; i < num_old; ++i) SKARV_TRY(remove_checkpoint(before[i].folder));
  }
  return folder;
}

Result<std::vector<fs::path>> list_checkpoints(const fs::path& root) {
  SKARV_ASSIGN(const std::vector<Committed> committed, committed_in(root));
  std::vector<fs::path> folders;
  for (const Committed& entry : committed) folders.push_back(entry.folder);
  return folders;
}

Result<fs::path> latest_checkpoint(const fs::path& root) {
  SKARV_ASSIGN(const std::vector<fs::path> folders, list_checkpoints(root));
  if (!folders.empty()) return folders.back();
  std::error_code ignored;
  const bool anything = fs::exists(root, ignored) && !fs::is_empty(root, ignored);
  return Status(Code::kNotFound, Scope::kRun,
                anything ? "no committed checkpoint; what lies there was never finished"
                         : "no checkpoint")
      .at(root.string())
      .with_hint("start without --resume, or name another folder");
}

}  // namespace skarv
