#include "ckpt/checkpoint_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/file.h"
#include "base/text.h"
#include "ckpt/manifest.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

Status damaged(const fs::path& path, const std::string& cause) {
  return Status(Code::kDataLoss, Scope::kRun, cause)
      .at(path.string())
      .with_hint("move the folder of this checkpoint away: the one before it is taken then");
}

Result<Digest> digest_of_file(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return io_error("cannot open", path.string(), errno);
  std::vector<std::byte> piece(1 << 20);
  Hasher hasher;
  while (true) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read", path.string(), errno);
    if (count == 0) return hasher.finish();
    hasher.add(std::span(piece).first(static_cast<size_t>(count)));
  }
}

std::string shown(const std::vector<int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes, ", ") + "]";
}

}  // namespace

Result<CheckpointReader> CheckpointReader::open(const fs::path& folder) {
  const Result<Json> commit = read_json(folder / "COMMIT");
  if (commit.status().code() == Code::kNotFound) {
    return Status(Code::kNotFound, Scope::kRun, "not a committed checkpoint: no COMMIT record")
        .at(folder.string())
        .with_hint("name the folder of one checkpoint, such as the newest with a COMMIT file");
  }
  if (commit.status().code() == Code::kInvalidArgument) {
    return damaged(folder / "COMMIT", commit.status().message());
  }
  SKARV_TRY(commit.status());
  const fs::path manifest_path = folder / "manifest.json";
  SKARV_ASSIGN(const std::string text, read_file(manifest_path));
  if (!commit->is_object() || !commit->contains("manifest") ||
      (*commit)["manifest"] != digest_of(text).hex()) {
    return damaged(manifest_path, "the manifest is not the one that was committed");
  }
  SKARV_ASSIGN(const Json manifest, parse_json(text, manifest_path.string()));
  if (!manifest.is_object() || !manifest.contains("version") || manifest["version"] != 1 ||
      !manifest.contains("shards") || !manifest.contains("extra")) {
    return damaged(manifest_path, "the manifest has a version that this program does not know");
  }
  CheckpointReader reader;
  reader.folder_ = folder;
  reader.extra_ = manifest["extra"];
  std::vector<ShardInfo> infos;
  for (const Json& json : manifest["shards"]) {
    SKARV_ASSIGN(ShardInfo info, shard_from_json(json, manifest_path.string()));
    infos.push_back(std::move(info));
  }
  SKARV_TRY(check_coverage(infos, manifest_path.string()));
  for (const ShardInfo& info : infos) {
    const fs::path path = folder / info.file;
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error) return io_error("a shard is missing", path.string(), error.value());
    if (static_cast<int64_t>(size) != info.num_bytes) {
      return damaged(path, cat("a shard has ", size, " bytes instead of ", info.num_bytes));
    }
    SKARV_ASSIGN(SafetensorsReader file, SafetensorsReader::open(path));
    for (const Piece& piece : info.pieces) {
      const auto entry = file.tensors().find(key_of(piece));
      if (entry == file.tensors().end() || entry->second.num_elements() != piece.size()) {
        return damaged(path, "the shard lacks " + key_of(piece));
      }
      Tensor& tensor = reader.sections_[piece.section][piece.name];
      tensor.shape = piece.shape;
      tensor.places.push_back({piece.begin, piece.end, reader.shards_.size(), key_of(piece)});
    }
    reader.shards_.push_back({std::move(file), info.digest});
  }
  for (auto& [section, tensors] : reader.sections_) {
    for (auto& [name, tensor] : tensors) std::ranges::sort(tensor.places, {}, &Place::begin);
  }
  return reader;
}

Result<CheckpointReader> CheckpointReader::open_hugging_face(const fs::path& folder) {
  CheckpointReader reader;
  reader.folder_ = folder;
  reader.extra_ = Json::object();
  const fs::path index_path = folder / "model.safetensors.index.json";
  std::set<std::string> files;
  std::error_code ignored;
  if (fs::exists(index_path, ignored)) {
    SKARV_ASSIGN(const Json index, read_json(index_path));
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
      return config_error("the index has no \"weight_map\"").at(index_path.string());
    }
    for (const auto& [name, file] : index["weight_map"].items()) {
      const std::string text = file.is_string() ? file.get<std::string>() : "";
      if (text.empty() || text.find('/') != std::string::npos) {
        return config_error("tensor \"" + name + "\" has no file of this folder")
            .at(index_path.string());
      }
      files.insert(text);
    }
  } else {
    files.insert("model.safetensors");
  }
  for (const std::string& name : files) {
    SKARV_ASSIGN(SafetensorsReader file, SafetensorsReader::open(folder / name));
    for (const auto& [key, entry] : file.tensors()) {
      Tensor tensor{entry.shape, {{0, entry.num_elements(), reader.shards_.size(), key}}};
      if (!reader.sections_[kWeights].emplace(key, std::move(tensor)).second) {
        return config_error("tensor \"" + key + "\" is in two files").at((folder / name).string());
      }
    }
    reader.shards_.push_back({std::move(file), Digest()});
  }
  return reader;
}

std::vector<std::string> CheckpointReader::sections() const {
  std::vector<std::string> names;
  for (const auto& [section, tensors] : sections_) names.push_back(section);
  return names;
}

bool CheckpointReader::has(const std::string& section, const std::string& name) const {
  const auto found = sections_.find(section);
  return found != sections_.end() && found->second.contains(name);
}

const std::vector<int64_t>& CheckpointReader::shape(const std::string& section,
                                                    const std::string& name) const {
  return sections_.at(section).at(name).shape;
}

Status CheckpointReader::read(const std::string& section, const std::string& name, int64_t begin,
                              std::span<float> out) const {
  const auto tensors = sections_.find(section);
  if (tensors == sections_.end()) {
    return Status(Code::kNotFound, Scope::kRun, "the checkpoint has no section \"" + section + "\"")
        .at(folder_.string())
        .with_hint("it has: " + join(sections(), ", "));
  }
  const auto found = tensors->second.find(name);
  if (found == tensors->second.end()) {
    std::vector<std::string> names;
    for (const auto& [known, tensor] : tensors->second) names.push_back(known);
    const std::string nearest = nearest_name(name, names);
    return Status(Code::kNotFound, Scope::kRun,
                  "section \"" + section + "\" has no tensor \"" + name + "\"")
        .at(folder_.string())
        .with_hint(nearest.empty() ? "the checkpoint is of another model"
                                   : "the nearest name is \"" + nearest + "\"");
  }
  const std::vector<Place>& places = found->second.places;
  const int64_t num_elements = places.empty() ? 0 : places.back().end;
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || count > num_elements || begin > num_elements - count) {
    return config_error(cat("elements ", begin, " to ", begin + count, " of \"", name,
                            "\", which has ", num_elements))
        .at(folder_.string());
  }
  const int64_t end = begin + count;
  for (const Place& place : places) {
    const int64_t first = std::max(begin, place.begin), last = std::min(end, place.end);
    if (first >= last) continue;
    SKARV_TRY(shards_[place.shard].file.read(
        place.key, first - place.begin,
        out.subspan(static_cast<size_t>(first - begin), static_cast<size_t>(last - first))));
  }
  return Status();
}

Status CheckpointReader::check_model(const std::string& section, const Model& model) const {
  for (const TensorSpec& tensor : tensors_of(model)) {
    if (!has(section, tensor.name)) return read(section, tensor.name, 0, {});
    if (shape(section, tensor.name) != tensor.shape) {
      return config_error(cat("tensor \"", tensor.name, "\" has the shape ",
                              shown(shape(section, tensor.name)), ", the model wants ",
                              shown(tensor.shape)))
          .at(folder_.string())
          .with_hint("the checkpoint is of another model: check [model] in the run file");
    }
  }
  return Status();
}

Status CheckpointReader::verify() const {
  for (const Shard& shard : shards_) {
    if (shard.digest.is_zero()) continue;
    SKARV_ASSIGN(const Digest digest, digest_of_file(shard.file.path()));
    if (digest != shard.digest) {
      return damaged(shard.file.path(), "the shard's bytes are not those that were saved");
    }
  }
  return Status();
}

}  // namespace skarv
