#include "relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "child.h"

namespace skarv {

namespace {

std::filesystem::path control_path(const std::filesystem::path& folder) {
  const auto path = folder / "control.sock";
  if (path.native().size() < 100) return path;
  return std::filesystem::temp_directory_path() /
         ("skarv-wan-" + digest_of(path.native()).short_hex() + ".sock");
}

}  // namespace

Result<std::vector<std::string>> relay_command(
    const Link& link, const std::vector<std::string>& listens,
    const std::vector<std::pair<std::string, std::string>>& targets,
    const std::filesystem::path& folder) {
  SKARV_ASSIGN(const std::string program, find_program("skarv-wan"));
  std::vector<std::string> command = {program};
  for (size_t i = 0; i < listens.size(); ++i) {
    command.insert(command.end(), {"--listen", listens[i], "--to", targets[i].second});
  }
  command.insert(command.end(), {"--rate", cat(std::llround(link.bandwidth * 8), "bit"), "--delay",
                                 cat(std::llround(link.round_trip / 2 * 1e6), "us"), "--jitter",
                                 cat(std::llround(link.jitter * 1e6), "us"), "--control",
                                 control_path(folder).string()});
  return command;
}

int64_t relay_bytes(const std::filesystem::path& folder) {
  const auto path = control_path(folder);
  FileHandle socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::send(socket.get(), "stats\n", 6, MSG_NOSIGNAL) != 6) {
    return 0;
  }
  std::string answer;
  while (answer.find('\n') == std::string::npos) {
    pollfd waited{socket.get(), POLLIN, 0};
    char block[4096];
    if (::poll(&waited, 1, 1000) <= 0) return 0;
    const ssize_t count = ::read(socket.get(), block, sizeof block);
    if (count <= 0) break;
    answer.append(block, static_cast<size_t>(count));
  }
  const auto json = parse_json(answer, path.string());
  int64_t bytes = 0;
  for (const char* direction : {"a", "b"}) {
    if (json.ok() && json->is_object() && json->contains(direction)) {
      bytes += (*json)[direction].value("bytes", int64_t{0});
    }
  }
  return bytes;
}

}  // namespace skarv
