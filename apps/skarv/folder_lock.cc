#include "folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/text.h"

namespace skarv {

Result<FileHandle> lock_folder(const std::filesystem::path& folder, const std::string& what,
                               Duration patience) {
  const std::string path = (folder / ".lock").string();
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return io_error("cannot create", path, errno);
  const Time deadline = Clock::real().now() + patience;
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return io_error("cannot lock", path, errno);
    if (Clock::real().now() >= deadline) {
      return Status(Code::kFailedPrecondition, Scope::kConfig,
                    cat("another process ", what, " in this folder"))
          .at(folder.string())
          .with_hint("stop it first, or choose another folder");
    }
    Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(20));
  }
  return file;
}

}  // namespace skarv
