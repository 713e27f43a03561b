// The lead's log (protocol.md, 3): JSON records, one a line, each with the digest of the chain up
// to and with it, so that no line can be changed, moved or left out unnoticed:
//   <64 hexadecimal digits> <JSON>\n      chain(i) = SHA-256(chain(i-1) bytes, JSON text)
// and chain(0) is made from the run's name. People read it with `less`. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "wan/log_file.h"

namespace skarv {

class RecordLog {
 public:
  // Reads and checks everything. A last line without its end (power cut while writing) is cut off:
  // it was never durable, so nobody was told of it. Any other fault is kDataLoss with file and
  // line: this log can no longer prove what was promised. A log of another run is
  // kFailedPrecondition.
  static Result<RecordLog> open(const std::filesystem::path& path, std::string_view run);

  const std::vector<Json>& records() const { return records_; }
  const Digest& chain() const { return chain_; }  // after the last record
  int64_t num_torn_bytes() const { return num_torn_bytes_; }

  // Written, but durable only after sync(). On failure (full disk) the log is what it was.
  Status append(const Json& record);
  Status sync() { return file_.sync(); }

 private:
  explicit RecordLog(LogFile file) : file_(std::move(file)) {}
  LogFile file_;
  std::vector<Json> records_;
  Digest chain_;
  int64_t num_torn_bytes_ = 0;
};

}  // namespace skarv
