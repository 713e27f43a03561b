// The file under both logs: appends whole records or nothing, and says when they are durable. One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/file.h"
#include "base/status.h"

namespace skarv {

class LogFile {
 public:
  // Creates the file, durably with its folder entry, when there is none.
  static Result<LogFile> open(const std::filesystem::path& path);

  int64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

  // Both parts one after the other, or neither: after a full disk the file is cut back to what it
  // was, and a later append may succeed.
  Status append(std::span<const std::byte> head, std::span<const std::byte> body = {});
  // Everything appended so far is durable. After a failure nobody knows what the disk has, so every
  // later call fails too (the kernel may drop the pages that it could not write).
  Status sync();
  Status truncate(int64_t size);
  // Exactly out.size() bytes from `offset`. Error: kDataLoss when the file ends before.
  Status read(int64_t offset, std::span<std::byte> out) const;

 private:
  LogFile(FileHandle file, std::filesystem::path path, int64_t size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}
  FileHandle file_;
  std::filesystem::path path_;
  int64_t size_;
  Status broken_;
};

}  // namespace skarv
