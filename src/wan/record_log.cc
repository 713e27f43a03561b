#include "wan/record_log.h"

#include <string>

#include "base/text.h"

namespace skarv {

namespace {

constexpr size_t kDigits = 64;

Digest next_link(const Digest& before, std::string_view text) {
  return Hasher().add(std::as_bytes(std::span(before.bytes))).add(text).finish();
}

Status broken(const std::filesystem::path& path, int64_t line, const std::string& cause) {
  return Status(Code::kDataLoss, Scope::kSite, "the log of promises is damaged: " + cause)
      .at(cat(path.string(), ":", line))
      .with_hint(
          "check the disk and put the file back from a copy: an island must not vote by a log that "
          "forgot promises, and one whose log is gone is not let in again");
}

}  // namespace

Result<RecordLog> RecordLog::open(const std::filesystem::path& path, std::string_view run) {
  SKARV_ASSIGN(LogFile file, LogFile::open(path));
  std::string text(static_cast<size_t>(file.size()), '\0');
  SKARV_TRY(file.read(0, std::as_writable_bytes(std::span(text))));
  RecordLog log(std::move(file));
  log.chain_ = digest_of("skarv record log 1 " + std::string(run));

  size_t begin = 0;
  for (int64_t line = 1; begin < text.size(); ++line) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      log.num_torn_bytes_ = static_cast<int64_t>(text.size() - begin);
      SKARV_TRY(log.file_.truncate(static_cast<int64_t>(begin)));
      break;
    }
    const std::string_view whole = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (whole.size() <= kDigits || whole[kDigits] != ' ') {
      return broken(path, line, "the line has no chain digest");
    }
    const Result<Digest> link = Digest::parse(whole.substr(0, kDigits));
    const std::string_view body = whole.substr(kDigits + 1);
    const Digest expected = next_link(log.chain_, body);
    if (!link.ok() || *link != expected) {
      if (line == 1) {
        return Status(Code::kFailedPrecondition, Scope::kSite,
                      cat("the log does not begin as one of run \"", run, "\""))
            .at(cat(path.string(), ":1"))
            .with_hint(
                "it belongs to another run, or is damaged: choose another folder, or put the "
                "file back from a copy");
      }
      return broken(path, line, "the line does not continue the chain before it");
    }
    Result<Json> record = parse_json(body, path.string());
    if (!record.ok()) return broken(path, line, record.status().message());
    log.records_.push_back(std::move(record).value());
    log.chain_ = expected;
  }
  return log;
}

Status RecordLog::append(const Json& record) {
  const std::string body = record.dump();
  const Digest link = next_link(chain_, body);
  const std::string line = link.hex() + " " + body + "\n";
  SKARV_TRY(file_.append(std::as_bytes(std::span(line))));
  records_.push_back(record);
  chain_ = link;
  return Status();
}

}  // namespace skarv
