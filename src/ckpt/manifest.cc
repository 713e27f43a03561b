#include "ckpt/manifest.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/text.h"

namespace skarv {

namespace {

// Why a manifest's numbers can not be true, or an empty text.
std::string fault_of(const Piece& piece) {
  int64_t num_elements = 1;
  for (const int64_t size : piece.shape) {
    if (size < 0 || (size > 0 && num_elements > (int64_t{1} << 56) / size)) return "its shape";
    num_elements *= size;
  }
  if (piece.begin < 0 || piece.end < piece.begin || piece.end > num_elements) return "its range";
  return "";
}

}  // namespace

std::string key_of(const Piece& piece) {
  return cat(piece.section, "/", piece.name, "[", piece.begin, ":", piece.end, "]");
}

Json to_json(const ShardInfo& shard) {
  Json pieces = Json::array();
  for (const Piece& piece : shard.pieces) {
    pieces.push_back({{"section", piece.section},
                      {"name", piece.name},
                      {"shape", piece.shape},
                      {"begin", piece.begin},
                      {"end", piece.end}});
  }
  return {{"file", shard.file},
          {"bytes", shard.num_bytes},
          {"sha256", shard.digest.hex()},
          {"pieces", pieces}};
}

Result<ShardInfo> shard_from_json(const Json& json, const std::string& origin) {
  const auto fault = [&](const std::string& cause) {
    return Status(Code::kDataLoss, Scope::kRun, "the manifest is damaged: " + cause)
        .at(origin)
        .with_hint("move the folder of this checkpoint away: the one before it is taken then");
  };
  try {
    ShardInfo shard;
    shard.file = json.at("file").get<std::string>();
    shard.num_bytes = json.at("bytes").get<int64_t>();
    if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file[0] == '.') {
      return fault("a shard is named \"" + shard.file + "\"");
    }
    SKARV_ASSIGN(shard.digest, Digest::parse(json.at("sha256").get<std::string>()));
    for (const Json& entry : json.at("pieces")) {
      Piece piece;
      piece.section = entry.at("section").get<std::string>();
      piece.name = entry.at("name").get<std::string>();
      piece.shape = entry.at("shape").get<std::vector<int64_t>>();
      piece.begin = entry.at("begin").get<int64_t>();
      piece.end = entry.at("end").get<int64_t>();
      if (const std::string cause = fault_of(piece); !cause.empty()) {
        return fault(key_of(piece) + ": " + cause + " can not be true");
      }
      shard.pieces.push_back(std::move(piece));
    }
    return shard;
  } catch (const nlohmann::json::exception& error) {
    return fault(error.what());
  }
}

Status check_coverage(const std::vector<ShardInfo>& shards, const std::string& origin) {
  std::map<std::pair<std::string, std::string>, std::vector<const Piece*>> by_tensor;
  for (const ShardInfo& shard : shards) {
    for (const Piece& piece : shard.pieces) {
      by_tensor[{piece.section, piece.name}].push_back(&piece);
    }
  }
  for (auto& [key, pieces] : by_tensor) {
    std::ranges::sort(pieces, {}, [](const Piece* p) { return std::pair(p->begin, p->end); });
    int64_t num_elements = 1, end = 0;
    for (const int64_t size : pieces[0]->shape) num_elements *= size;
    const auto fault = [&](const std::string& cause) {
      return Status(Code::kDataLoss, Scope::kRun,
                    cat("tensor \"", key.second, "\" of section \"", key.first, "\" ", cause))
          .at(origin)
          .with_hint("a writer is missing or two have written the same: save again");
    };
    for (const Piece* piece : pieces) {
      if (piece->shape != pieces[0]->shape) return fault("has two shapes");
      if (piece->begin < end) return fault(cat("is there twice from element ", piece->begin));
      if (piece->begin > end) return fault(cat("lacks elements ", end, " to ", piece->begin));
      end = piece->end;
    }
    if (end != num_elements) return fault(cat("lacks elements ", end, " to ", num_elements));
  }
  return Status();
}

}  // namespace skarv
