// Writes token files document by document. Under the final names they appear only in `finish`,
// complete and durable; an interrupted writer leaves `<prefix>.bin.tmp` and nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"

namespace skarv {

// Not thread-safe. Memory: 4 bytes a document and a buffer of 1 MB.
class TokenWriter {
 public:
  // `vocabulary_size` decides how wide an id is.
  static Result<std::unique_ptr<TokenWriter>> create(const std::filesystem::path& prefix,
                                                     int32_t vocabulary_size);
  // Removes its temporary file unless `finish` succeeded.
  ~TokenWriter();
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;

  // One document, its end-of-text token included. REQUIRES: ids are below the vocabulary size, at
  // most 2^31 - 1 of them.
  Status add(std::span<const int32_t> ids);
  uint64_t num_tokens() const { return num_tokens_; }
  uint64_t num_documents() const { return lengths_.size(); }

  // Writes the index, makes both files durable and puts them in place. Returns the digest of the
  // .bin file. Call it once, last.
  Result<Digest> finish();

 private:
  TokenWriter(AppendFile file, std::filesystem::path prefix, bool is_wide);
  Status flush();
  std::string index() const;

  AppendFile file_;
  const std::filesystem::path prefix_;
  const bool is_wide_;
  bool is_finished_ = false;
  std::vector<int32_t> lengths_;
  std::vector<std::byte> buffer_;
  uint64_t num_tokens_ = 0;
  Hasher hasher_;
};

}  // namespace skarv
