// Safetensors files (https://huggingface.co/docs/safetensors): eight bytes header length, a JSON
// header that names tensors with type, shape and byte range, then the bytes. Reading and writing
// stream: no file is ever whole in memory. The header comes from anywhere, so all of it is checked
// before use: its length is bounded, ranges have to lie in the file, fit shape and type, and not
// overlap. One thread at a time; readers of one file may be opened many times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"

namespace skarv {

enum class DataType { kFloat32, kFloat16, kBfloat16 };
const char* name_of(DataType type);  // as the format spells it: "F32", "F16", "BF16"
int64_t bytes_of(DataType type);

inline constexpr int64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation

struct TensorEntry {
  std::string name;
  DataType type = DataType::kFloat32;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes after the header

  int64_t num_elements() const;
};

class SafetensorsReader {
 public:
  // Errors: kNotFound; kDataLoss naming the file and the fault (truncated file, ...);
  // kInvalidArgument for a type that Skarv does not read, naming the tensor.
  static Result<SafetensorsReader> open(const std::filesystem::path& path);

  const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

  // Elements [begin, begin + out.size()) in row-major order, as fp32. Errors: kNotFound with the
  // nearest name; kInvalidArgument when the range leaves the tensor; kDataLoss.
  Status read(const std::string& name, int64_t begin, std::span<float> out) const;

 private:
  SafetensorsReader() = default;
  std::filesystem::path path_;
  FileHandle file_;
  int64_t data_begin_ = 0;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorDeclaration {
  std::string name;
  DataType type = DataType::kFloat32;
  std::vector<int64_t> shape;
};

// Writes the tensors in the order declared. Without finish() the file is removed.
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          std::vector<TensorDeclaration> tensors,
                                          const std::map<std::string, std::string>& metadata = {});
  SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
  SafetensorsWriter& operator=(SafetensorsWriter&&) = delete;
  ~SafetensorsWriter();

  // The next values; they may end or begin anywhere in a tensor. Rounded to the declared type
  // (nearest, ties to even).
  Status append(std::span<const float> values);
  // Durable. Error: kInternal when values are missing. Returns the digest of the whole file.
  Result<Digest> finish();
  int64_t num_bytes() const { return num_bytes_; }

 private:
  SafetensorsWriter() = default;
  Status write(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  FileHandle file_;
  std::vector<TensorDeclaration> tensors_;
  size_t tensor_ = 0;    // that is being written
  int64_t element_ = 0;  // of it
  int64_t num_bytes_ = 0;
  Hasher hasher_;
};

}  // namespace skarv
