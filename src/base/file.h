// Files: whole reads, atomic writes, append-only logs. Every error names the path.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace skarv {

Result<std::string> read_file(const std::filesystem::path& path);

// Writes to a temporary file beside `path`, fsyncs, renames over it and fsyncs the folder: after a
// crash the file is the old one or the new one, never a piece. A link, a device or a pipe is never
// replaced: it is written through, without that promise.
Status write_file_atomic(const std::filesystem::path& path, std::string_view content);
Status make_directories(const std::filesystem::path& path);
Status sync_directory(const std::filesystem::path& path);

// An owned file descriptor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(other.release()) {}
  FileHandle& operator=(FileHandle&& other) noexcept;
  ~FileHandle();
  int get() const { return fd_; }
  int release();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Appends with write(2); `sync` makes everything appended so far durable (fdatasync).
class AppendFile {
 public:
  static Result<AppendFile> open(const std::filesystem::path& path);
  Status append(std::span<const std::byte> data);
  Status append(std::string_view text) { return append(std::as_bytes(std::span(text))); }
  Status sync();
  const std::filesystem::path& path() const { return path_; }

 private:
  AppendFile(FileHandle file, std::filesystem::path path)
      : file_(std::move(file)), path_(std::move(path)) {}
  FileHandle file_;
  std::filesystem::path path_;
};

}  // namespace skarv
