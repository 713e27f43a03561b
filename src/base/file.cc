#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace skarv {

namespace fs = std::filesystem;

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}
FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}
int FileHandle::release() { return std::exchange(fd_, -1); }

Result<std::string> read_file(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return io_error("cannot open", path.string(), errno);
  std::string content;
  struct stat facts;
  if (::fstat(file.get(), &facts) == 0 && facts.st_size > 0) {
    content.reserve(static_cast<size_t>(facts.st_size));
  }
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count == 0) return content;
    if (count < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot read", path.string(), errno);
    }
    content.append(buffer, static_cast<size_t>(count));
  }
}

namespace {
Status write_all(int fd, std::span<const std::byte> data, const fs::path& path) {
  while (!data.empty()) {
    const ssize_t count = ::write(fd, data.data(), data.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot write", path.string(), errno);
    }
    data = data.subspan(static_cast<size_t>(count));
  }
  return Status();
}
}  // namespace

Status sync_directory(const fs::path& path) {
  FileHandle folder(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return io_error("cannot open the folder", path.string(), errno);
  if (::fsync(folder.get()) != 0) return io_error("cannot sync the folder", path.string(), errno);
  return Status();
}

namespace {
// Through a link, into a device or a pipe: replacing /dev/null or /dev/stdout by a file would break
// the machine for others.
bool is_replaceable(const fs::path& path) {
  struct stat facts;
  return ::lstat(path.c_str(), &facts) != 0 || S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode);
}

Status write_through(const fs::path& path, std::string_view content) {
  FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return io_error("cannot write", path.string(), errno);
  return write_all(file.get(), std::as_bytes(std::span(content)), path);
}
}  // namespace

Status write_file_atomic(const fs::path& path, std::string_view content) {
  if (!is_replaceable(path)) return write_through(path, content);
  const fs::path temporary = path.string() + ".tmp" + std::to_string(::getpid());
  {
    FileHandle file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) return io_error("cannot create", path.string(), errno);
    Status status = write_all(file.get(), std::as_bytes(std::span(content)), path);
    if (status.ok() && ::fsync(file.get()) != 0)
      status = io_error("cannot sync", path.string(), errno);
    if (!status.ok()) {
      ::unlink(temporary.c_str());
      return status;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    return io_error("cannot rename into place", path.string(), error_number);
  }
  return sync_directory(path.parent_path());
}

Status make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return io_error("cannot create the folder", path.string(), error.value());
  return Status();
}

Result<AppendFile> AppendFile::open(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file) return io_error("cannot open for appending", path.string(), errno);
  return AppendFile(std::move(file), path);
}

Status AppendFile::append(std::span<const std::byte> data) {
  return write_all(file_.get(), data, path_);
}

Status AppendFile::sync() {
  if (::fdatasync(file_.get()) != 0) return io_error("cannot sync", path_.string(), errno);
  return Status();
}

}  // namespace skarv
