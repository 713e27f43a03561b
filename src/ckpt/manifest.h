// The manifest of a checkpoint as data: which shard holds which range of which tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "ckpt/checkpoint.h"

namespace skarv {

struct ShardInfo {
  std::string file;
  int64_t num_bytes = 0;
  Digest digest;
  std::vector<Piece> pieces;  // piece i is the tensor key_of(i) of the file
};
// Tensors of a shard are named by section, name and begin, so that other tools can read them too.
std::string key_of(const Piece& piece);

Json to_json(const ShardInfo& shard);
Result<ShardInfo> shard_from_json(const Json& json, const std::string& origin);

// Every tensor of every section is covered once, with one shape. The error names tensor and range.
Status check_coverage(const std::vector<ShardInfo>& shards, const std::string& origin);

}  // namespace skarv
