// Reads a committed checkpoint by section, parameter name and range, whatever shards hold it. Also
// reads a Hugging Face folder (model.safetensors, or model.safetensors.index.json and its shards)
// as a checkpoint with the one section "weights". One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ckpt/checkpoint.h"
#include "ckpt/safetensors.h"
#include "spec/model.h"

namespace skarv {

class CheckpointReader {
 public:
  // Errors name the file: kNotFound without a commit record, kDataLoss when manifest or shards are
  // not what was committed (sizes; verify() reads the bytes too).
  static Result<CheckpointReader> open(const std::filesystem::path& folder);
  static Result<CheckpointReader> open_hugging_face(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Json& extra() const { return extra_; }
  std::vector<std::string> sections() const;
  bool has(const std::string& section, const std::string& name) const;
  // REQUIRES: has().
  const std::vector<int64_t>& shape(const std::string& section, const std::string& name) const;

  // Elements [begin, begin + out.size()) of a tensor. Errors: kNotFound with the nearest name,
  // kInvalidArgument for a range outside, kDataLoss.
  Status read(const std::string& section, const std::string& name, int64_t begin,
              std::span<float> out) const;
  Status read(const std::string& name, int64_t begin, std::span<float> out) const {
    return read(kWeights, name, begin, out);
  }

  // Every tensor of the model is in the section with its shape. The error names the first that is
  // not, and both shapes.
  Status check_model(const std::string& section, const Model& model) const;
  // Reads everything and compares digests. Error: kDataLoss naming the shard.
  Status verify() const;

 private:
  struct Place {
    int64_t begin, end;  // elements of the tensor
    size_t shard;
    std::string key;  // in the shard
  };
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<Place> places;  // ascending, without gaps
  };
  struct Shard {
    SafetensorsReader file;
    Digest digest;  // zero: none is known
  };
  CheckpointReader() = default;

  std::filesystem::path folder_;
  Json extra_;
  std::vector<Shard> shards_;
  std::map<std::string, std::map<std::string, Tensor>> sections_;
};

}  // namespace skarv
