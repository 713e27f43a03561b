// Token files: `<prefix>.bin` with the ids of all documents in a row, `<prefix>.idx` with their
// lengths, in Megatron's format (MMIDIDX version 1), which its IndexedDataset reads and writes.
// Ids are 16 bits wide for vocabularies below 65500, else 32 (Megatron's rule).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"

namespace skarv {

// A file of bytes mapped for reading. Whoever truncates it meanwhile kills the reader (SIGBUS):
// replace such files by renaming, as TokenWriter does.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// Memory-mapped, read-only; const functions are thread-safe.
class TokenFile {
 public:
  // Checks the whole index against the size of the data. Errors: kNotFound; kDataLoss, at the file,
  // for a wrong magic or version, truncation, or lengths that do not fit together;
  // kInvalidArgument for token types other than 16 bits unsigned and 32 bits.
  static Result<TokenFile> open(const std::filesystem::path& prefix);

  uint64_t num_tokens() const { return num_tokens_; }
  uint64_t num_documents() const { return num_documents_; }
  int token_bytes() const { return token_bytes_; }
  const std::filesystem::path& prefix() const { return prefix_; }

  // Copies tokens [first, first + out.size()) of the row of all documents.
  // REQUIRES: first + out.size() <= num_tokens().
  void read(uint64_t first, std::span<int32_t> out) const;

  // Reads everything once: kDataLoss when an id is not below `vocabulary_size`. An embedding would
  // read outside its memory for such an id.
  Status check_ids(int32_t vocabulary_size) const;
  // How often each id occurs. REQUIRES: check_ids(vocabulary_size).ok().
  std::vector<uint64_t> count_ids(int32_t vocabulary_size) const;

 private:
  TokenFile(MappedFile data, std::filesystem::path prefix)
      : data_(std::move(data)), prefix_(std::move(prefix)) {}
  Status read_index();

  MappedFile data_;
  std::filesystem::path prefix_;
  int token_bytes_ = 0;
  uint64_t num_tokens_ = 0;
  uint64_t num_documents_ = 0;
};

std::filesystem::path bin_path(const std::filesystem::path& prefix);
std::filesystem::path idx_path(const std::filesystem::path& prefix);

}  // namespace skarv
