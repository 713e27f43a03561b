#include "wan/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace skarv {

Result<LogFile> LogFile::open(const std::filesystem::path& path) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return io_error("cannot open the log", path.string(), errno);
  struct stat facts;
  if (::fstat(file.get(), &facts) != 0) {
    return io_error("cannot look at the log", path.string(), errno);
  }
  if (facts.st_size == 0) SKARV_TRY(sync_directory(path.parent_path()));
  return LogFile(std::move(file), path, facts.st_size);
}

Status LogFile::append(std::span<const std::byte> head, std::span<const std::byte> body) {
  SKARV_TRY(broken_);
  int64_t end = size_;
  for (std::span<const std::byte> part : {head, body}) {
    while (!part.empty()) {
      const ssize_t count = ::pwrite(file_.get(), part.data(), part.size(), end);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        const Status status = io_error("cannot write to the log", path_.string(), errno);
        if (::ftruncate(file_.get(), size_) != 0) {
          broken_ = io_error("cannot cut an unfinished record from the log", path_.string(), errno);
        }
        return status;
      }
      part = part.subspan(static_cast<size_t>(count));
      end += count;
    }
  }
  size_ = end;
  return Status();
}

Status LogFile::sync() {
  SKARV_TRY(broken_);
  if (::fdatasync(file_.get()) != 0) {
    broken_ = io_error("cannot make the log durable", path_.string(), errno);
  }
  return broken_;
}

Status LogFile::truncate(int64_t size) {
  if (::ftruncate(file_.get(), size) != 0) {
    return io_error("cannot cut the log", path_.string(), errno);
  }
  size_ = size;
  return Status();
}

Status LogFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(file_.get(), out.data(), out.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read the log", path_.string(), errno);
    if (count == 0) {
      return Status(Code::kDataLoss, Scope::kSite, cat("the log ends at byte ", offset))
          .at(path_.string());
    }
    out = out.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return Status();
}

}  // namespace skarv
